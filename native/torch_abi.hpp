// The parts of PyTorch's C interfaces that the bindings use, declared here. So the kernels are built without PyTorch, and
// one binary serves every version that has them, which is 2.10 and later.
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>

#include "kernels.hpp"

namespace focal::torch_abi {

// DLPack's description of an array. The numbers of the types of its elements are DLPack's.
struct Tensor {
  void* data;
  int32_t device, device_index;
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *sizes, *strides;
  uint64_t byte_offset;
};

// DLPack's table of functions for the tensors of one framework, the attribute `__dlpack_c_exchange_api__` of their
// type. A later major version may order it otherwise.
struct Exchange {
  uint32_t major, minor;
  const Exchange* previous;
  void *allocate, *export_owned, *import_owned;
  int (*describe)(void* tensor, Tensor*);  // allocates nothing; -1: a Python exception is set
  void* stream;
};
constexpr uint32_t known_major = 1;
constexpr int32_t on_host = 1;

inline DType dtype_of(const Tensor& tensor) {
  enum : uint8_t { integer, unsigned_integer, floating, bfloat = 4, boolean = 6 };
  switch (tensor.code << 8 | tensor.bits) {
    case floating << 8 | 32: return DType::f32;
    case floating << 8 | 64: return DType::f64;
    case floating << 8 | 16: return DType::f16;
    case bfloat << 8 | 16: return DType::bf16;
    case boolean << 8 | 8: return DType::boolean;
    case unsigned_integer << 8 | 8: return DType::u8;
    case integer << 8 | 8: return DType::i8;
    case integer << 8 | 16: return DType::i16;
    case integer << 8 | 32: return DType::i32;
    case integer << 8 | 64: return DType::i64;
  }
  throw std::invalid_argument("the kernels do not take tensors of this dtype");
}

// A tensor as an array that broadcasts to a shape.
inline Operand operand(const Tensor& tensor, const Shape& shape) {
  Operand result;
  const int missing = shape.rank - tensor.rank;
  if (missing < 0) throw std::invalid_argument("an operand must have at most as many axes as the call");
  result.data = static_cast<const char*>(tensor.data) + tensor.byte_offset;
  result.dtype = dtype_of(tensor);
  for (int d = 0; d < tensor.rank; ++d) {
    const int64_t size = shape.sizes[missing + d];
    if (tensor.sizes[d] != size && tensor.sizes[d] != 1)
      throw std::invalid_argument("an operand must broadcast to the shape of the call");
    result.strides[missing + d] = tensor.sizes[d] == size ? tensor.strides[d] : 0;
  }
  return result;
}

// The axes [first, last) of a tensor as one: its size and stride. They must be regular, as in a contiguous tensor.
inline void join_axes(const Tensor& tensor, int first, int last, int64_t& size, int64_t& stride) {
  size = 1;
  stride = 0;
  for (int d = last - 1; d >= first; --d) {
    if (tensor.sizes[d] == 0) size = 0;  // the strides of a tensor without numbers mean nothing
    if (tensor.sizes[d] == 1 || size == 0) continue;
    if (size == 1) stride = tensor.strides[d];
    else if (tensor.strides[d] != size * stride) throw std::invalid_argument("a tensor must have regular axes");
    size *= tensor.sizes[d];
  }
}

// `torch_parallel_for` of LibTorch's stable ABI: calls function(begin, end, context) for parts of [begin, end), on the
// threads of PyTorch's own operators, whatever they are. Not 0: it failed.
using ParallelFor = int32_t (*)(int64_t begin, int64_t end, int64_t grain,
                                void (*function)(int64_t begin, int64_t end, void* context), void* context);
inline std::atomic<ParallelFor> parallel_for{nullptr};

// A `Team` of these threads.
inline void team(void (*function)(void*), void* data, unsigned threads, unsigned) {
  struct Call {
    void (*function)(void*);
    void* data;
  } call{function, data};
  const auto part = [](int64_t, int64_t, void* context) {
    const Call& call = *static_cast<const Call*>(context);
    call.function(call.data);
  };
  if (parallel_for.load()(0, threads, 1, part, &call) != 0) function(data);
}

}  // namespace focal::torch_abi
