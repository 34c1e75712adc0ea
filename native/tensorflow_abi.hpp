// The part of TensorFlow's C API that the ops need. Names and signatures are TensorFlow's; the functions are looked
// up in the process that loads this library. So the ops are built without TensorFlow and serve every version that has
// these functions.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

namespace focal::tf {

struct Status;
struct Tensor;
struct OpBuilder;
struct KernelBuilder;
struct Construction;
struct Context;
struct ShapeContext;
struct ShapeHandle;
struct DimensionHandle;

enum Code : int { ok = 0, invalid_argument = 3, internal = 13 };

// The numbers of types.proto.
enum Type : int {
  float32 = 1, float64 = 2, int32 = 3, uint8 = 4, int16 = 5, int8 = 6, int64 = 9, boolean = 10, bfloat16 = 14, half = 19
};

using ShapeFunction = void (*)(ShapeContext*, Status*);
using CreateFunction = void* (*)(Construction*);
using ComputeFunction = void (*)(void*, Context*);
using DeleteFunction = void (*)(void*);

#define FOCAL_TF_FUNCTIONS(X)                                                                             \
  X(Status*, NewStatus, ())                                                                               \
  X(void, DeleteStatus, (Status*))                                                                        \
  X(void, SetStatus, (Status*, Code, const char*))                                                        \
  X(Code, GetCode, (const Status*))                                                                       \
  X(Type, TensorType, (const Tensor*))                                                                    \
  X(int, NumDims, (const Tensor*))                                                                        \
  X(int64_t, Dim, (const Tensor*, int))                                                                   \
  X(void*, TensorData, (const Tensor*))                                                                   \
  X(void, DeleteTensor, (Tensor*))                                                                        \
  X(OpBuilder*, NewOpDefinitionBuilder, (const char*))                                                    \
  X(void, OpDefinitionBuilderAddAttr, (OpBuilder*, const char*))                                          \
  X(void, OpDefinitionBuilderAddInput, (OpBuilder*, const char*))                                         \
  X(void, OpDefinitionBuilderAddOutput, (OpBuilder*, const char*))                                        \
  X(void, OpDefinitionBuilderSetShapeInferenceFunction, (OpBuilder*, ShapeFunction))                      \
  X(void, RegisterOpDefinition, (OpBuilder*, Status*))                                                    \
  X(KernelBuilder*, NewKernelBuilder,                                                                     \
    (const char*, const char*, CreateFunction, ComputeFunction, DeleteFunction))                          \
  X(void, RegisterKernelBuilder, (const char*, KernelBuilder*, Status*))                                  \
  X(void, OpKernelConstruction_GetAttrInt64, (Construction*, const char*, int64_t*, Status*))             \
  X(void, OpKernelConstruction_GetAttrBool, (Construction*, const char*, unsigned char*, Status*))        \
  X(void, OpKernelConstruction_Failure, (Construction*, Status*))                                         \
  X(void, GetInput, (Context*, int, Tensor**, Status*))                                                   \
  X(Tensor*, AllocateOutput, (Context*, int, Type, const int64_t*, int, size_t, Status*))                 \
  X(void, OpKernelContext_Failure, (Context*, Status*))                                                   \
  X(ShapeHandle*, NewShapeHandle, ())                                                                     \
  X(void, DeleteShapeHandle, (ShapeHandle*))                                                              \
  X(DimensionHandle*, NewDimensionHandle, ())                                                             \
  X(void, DeleteDimensionHandle, (DimensionHandle*))                                                      \
  X(int, DimensionHandleValueKnown, (DimensionHandle*))                                                   \
  X(int64_t, DimensionHandleValue, (DimensionHandle*))                                                    \
  X(void, ShapeInferenceContextGetInput, (ShapeContext*, int, ShapeHandle*, Status*))                     \
  X(void, ShapeInferenceContextSetOutput, (ShapeContext*, int, ShapeHandle*, Status*))                    \
  X(void, ShapeInferenceContextSetUnknownShape, (ShapeContext*, Status*))                                 \
  X(ShapeHandle*, ShapeInferenceContextScalar, (ShapeContext*))                                           \
  X(int, ShapeInferenceContextRankKnown, (ShapeContext*, ShapeHandle*))                                   \
  X(int64_t, ShapeInferenceContextRank, (ShapeContext*, ShapeHandle*))                                    \
  X(void, ShapeInferenceContextDim, (ShapeContext*, ShapeHandle*, int64_t, DimensionHandle*))             \
  X(void, ShapeInferenceContextSubshape,                                                                  \
    (ShapeContext*, ShapeHandle*, int64_t begin, int64_t end, ShapeHandle* result, Status*))              \
  X(void, ShapeInferenceContextConcatenateShapes,                                                         \
    (ShapeContext*, ShapeHandle*, ShapeHandle*, ShapeHandle* result, Status*))

#define FOCAL_TF_POINTER(result, name, arguments) inline result(*name) arguments = nullptr;
FOCAL_TF_FUNCTIONS(FOCAL_TF_POINTER)
#undef FOCAL_TF_POINTER

// Whether all functions were found. TensorFlow is in the process already, since it loads this library.
inline bool resolve() {
#ifdef __APPLE__
  void* library = dlopen("libtensorflow_framework.2.dylib", RTLD_LAZY | RTLD_NOLOAD);
#else
  void* library = dlopen("libtensorflow_framework.so.2", RTLD_LAZY | RTLD_NOLOAD);
#endif
  if (library == nullptr) library = RTLD_DEFAULT;
  bool found = true;
#define FOCAL_TF_FIND(result, name, arguments)                              \
  name = reinterpret_cast<result(*) arguments>(dlsym(library, "TF_" #name)); \
  found = found && name != nullptr;
  FOCAL_TF_FUNCTIONS(FOCAL_TF_FIND)
#undef FOCAL_TF_FIND
  return found;
}

}  // namespace focal::tf
