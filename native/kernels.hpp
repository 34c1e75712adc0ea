// The arguments and results of the kernels, as the bindings, XLA's handlers and TensorFlow's ops pass them. No
// mathematics, no Python.
#pragma once

#include <cfloat>
#include <cmath>
#include <cstdint>

namespace focal {

// <tables: dtypes> Written by tools/tables.py; `make tables` writes it anew.
enum class DType : int { f32, f64, f16, bf16, boolean, u8, i8, i16, i32, i64 };
constexpr int max_rank = 16;

// In bytes.
inline int64_t item_size(DType dtype) {
  constexpr int64_t sizes[] = {4, 8, 2, 2, 1, 1, 1, 2, 4, 8};
  return sizes[int(dtype)];
}
// </tables: dtypes>

// An array that broadcasts to the shape of its call, or a number.
struct Operand {
  const void* data = nullptr;  // null: the number `value`
  DType dtype = DType::f64;
  double value = 0;
  int64_t strides[max_rank] = {};  // in elements; 0 where it broadcasts
};

// A single number is read, because numbers have loops of their own.
inline void read_single(Operand& x, int rank) {
  if (x.data == nullptr || x.dtype > DType::f64) return;
  for (int d = 0; d < rank; ++d)
    if (x.strides[d] != 0) return;
  x.value = x.dtype == DType::f64 ? *static_cast<const double*>(x.data) : double(*static_cast<const float*>(x.data));
  x.data = nullptr;
}

struct Shape {
  int rank = 0;
  int64_t sizes[max_rank] = {};
  int64_t size() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= sizes[d];
    return n;
  }
};

// With half-precision logits results may stay in float: derivatives that are multiplied later by the upstream gradient,
// so that they are rounded once, and losses that are summed later.
inline DType result_dtype(DType logits, bool at_least_float32) {
  return at_least_float32 && logits != DType::f64 ? DType::f32 : logits;
}

// The dtype of the derivatives of a call. scikit-learn's trees take them in float from scores in double.
template <class Call>
DType slope_dtype(const Call& call, DType logits) {
  return call.derivatives_in_float32 ? DType::f32 : result_dtype(logits, call.derivatives_at_least_float32);
}

// <tables: families> Written by tools/tables.py; `make tables` writes it anew.
enum class Family : int {
  expected_loss, p_t_loss, quality, asymmetric, poly1, varifocal, matchability, penalty_reduced
};
// </tables: families>

// The numbers of one family alone. The families after `p_t_loss` take a number as gamma, and labels as they are.
struct Member {
  double exponent = 0;  // asymmetric: gamma of the negatives; penalty_reduced: the power of 1 - y
  double clip = 0;      // asymmetric
  double epsilon = 0;   // poly1
  bool detached = false;  // varifocal, matchability: whether p^gamma is a constant in the derivative
};

// The binary losses: (logit, label) -> value and derivatives in the logit, unreduced, in C order, in the dtype of the
// logits, or in float if they are narrower and `..._at_least_float32` is set, or if `derivatives_in_float32` is. A
// derivative is multiplied by `upstream`.
// `expected_loss` has a Hessian, and `p_t_loss` that of hard labels. `positive` and `negative` weigh `expected_loss`,
// `p_t_loss` and `poly1`; `negative` is the alpha of `varifocal` and `matchability`.
struct Binary {
  Family family = Family::expected_loss;
  Member member;
  Shape shape;
  Operand logits, labels, gamma, positive, negative, upstream;
  double smoothing = 0;
  bool values_at_least_float32 = false, derivatives_at_least_float32 = false;
  bool derivatives_in_float32 = false;
  bool majorizer = false;  // computed instead of the Hessian: see scalar.hpp
  bool in_double = false;  // set by `run`
  void *value = nullptr, *gradient = nullptr, *hessian = nullptr;  // null: not wanted
};

// The softmax losses. `logits` has the shape (outer, classes, inner) with any strides; everything else is per example,
// in C order of (outer, inner), except dense labels, which have the shape of the logits.
struct Softmax {
  int64_t outer = 0, classes = 0, inner = 0;
  const void* logits = nullptr;
  DType dtype = DType::f32;
  int64_t strides[3] = {};
  const void* labels = nullptr;  // class indices, or a probability per class
  DType label_dtype = DType::i64;
  int64_t label_strides[3] = {};  // sparse: the middle one is 0
  bool sparse = true;
  bool has_ignored = false;
  int64_t ignored = 0;
  double smoothing = 0;
  const double *gamma = nullptr, *weight = nullptr;  // one number, or one per class
  int64_t gammas = 1, weights = 1;
  Operand example_gamma;  // unless its data is null: gamma per example, and `gammas` is 0; strides as of `upstream`
  Operand upstream;  // shape (outer, inner): the two strides stand first
  bool values_at_least_float32 = false, derivatives_at_least_float32 = false;
  bool derivatives_in_float32 = false;
  bool majorizer = false;
  bool in_double = false;
  // Value per example, the others like the logits. A gradient that overwrites its logits has their strides.
  void *value = nullptr, *gradient = nullptr, *hessian = nullptr;
  bool is_in_place() const { return gradient == logits && gradient != nullptr; }
  // A shard: the logits are those of `classes` classes from `first_class` on, of `all_classes` (0: they are all).
  // Sparse, without smoothing and Hessian. Labels, gamma and the weights are those of all classes.
  int64_t first_class = 0, all_classes = 0;
  // Three numbers per example, in three arrays one after the other, double for double logits, else float: the true
  // logit (-inf if it is in another shard), the largest of the other logits, and the sum of their exponentials
  // divided by the exponential of the largest. `parts` is filled with those of the shard, instead of all results;
  // `whole` has those of all shards together.
  void* parts = nullptr;
  const void* whole = nullptr;
};

// The outcome of a range of elements. `sum` is accumulated over fixed chunks, so that the number of threads does not
// change it.
struct Outcome {
  double sum = 0;
  int64_t count = 0;       // of examples that are not ignored
  int64_t first_bad = -1;  // first invalid label, or -1: outside [0, 1], an integer but 0 and 1, or no class
};

// Whether a number loses only digits in float. Gamma and the weights may be any number, whatever the logits' dtype.
inline bool fits_float(double x) {
  const double size = std::fabs(x);
  return !(size > double(FLT_MAX) || (size < double(FLT_MIN) && size != 0));
}

using BinaryKernel = void (*)(const Binary&, int64_t begin, int64_t end, Outcome&);
using SoftmaxKernel = void (*)(const Softmax&, int64_t begin, int64_t end, Outcome&);

// One instruction set.
struct Kernels {
  const char* name;
  BinaryKernel binary;
  SoftmaxKernel softmax;  // begin and end count examples
};

}  // namespace focal
