// Loops over blocks of elements for the binary losses. The mathematics is in scalar.hpp.
//
// A block is small enough for the first cache. An operand that is contiguous and of the type computed in is read where
// it lies; any other dtype, stride or broadcast is first brought into a buffer of one block. So there is one loop
// per kind of label and power, not one per combination of dtypes and strides.
#pragma once

#include "kernels.hpp"
#include "scalar.hpp"
#include "staging.hpp"

namespace focal::FOCAL_ISA {

// The numbers of a block: pointers to `n` elements each, outputs included.
template <class T>
struct Block {
  const T *z, *y;
  const T* gamma;                                   // of any_power only
  const T *positive, *negative;                     // the coefficients of soft labels; unused for hard ones
  T value_weight[2], gradient_weight[2];            // hard labels: of the negatives and of the positives
  T *value, *gradient, *hessian;
  int order;  // of the last derivative that is wanted
};

// What a loop saw on its way, so that no other loop need look: whether its assumptions hold is known afterwards.
template <class T>
struct Seen {
  Bits<T> largest;  // the bits of the largest |logit|; inf and NaN are above all
  Bits<T> soft;     // 0 where every label is 0 or 1
};

template <int twice, int order, bool extreme, class T>
Seen<T> hard_loop(const Block<T>& b, int64_t n) {
  const T v0 = b.value_weight[0], v1 = b.value_weight[1], g0 = -b.gradient_weight[0], g1 = b.gradient_weight[1];
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma;
  T *__restrict value = b.value, *__restrict gradient = b.gradient, *__restrict hessian = b.hessian;
  Bits<T> largest = 0, soft = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const T z_i = z[i], y_i = y[i], s = y_i > T(0.5) ? z_i : -z_i;
    const Bits<T> size = to_bits(std::fabs(z_i));
    largest = size > largest ? size : largest;
    soft |= to_bits(mul_add(y_i, y_i, -y_i));
    const Derivatives<T> f = focal<twice, order>(score<extreme>(s), twice == any_power ? gamma[i] : T(0));
    const T weight = y_i > T(0.5) ? v1 : v0, slope_weight = y_i > T(0.5) ? g1 : g0;
    value[i] = at_infinity<extreme>(weight * f.value, z_i);
    if constexpr (order > 0) gradient[i] = slope_weight * f.first;
    if constexpr (order > 1) hessian[i] = std::fabs(slope_weight) * f.second;
  }
  return {largest, soft};
}

template <int twice, int order, bool extreme, class T>
Seen<T> two_term_loop(const Block<T>& b, int64_t n) {
  const T *__restrict z = b.z, *__restrict gamma = b.gamma;
  const T *__restrict positive = b.positive, *__restrict negative = b.negative;
  T *__restrict value = b.value, *__restrict gradient = b.gradient, *__restrict hessian = b.hessian;
  Bits<T> largest = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const Bits<T> size = to_bits(std::fabs(z[i]));
    largest = size > largest ? size : largest;
    const Derivatives<T> f =
        two_term<twice, order, extreme>(z[i], positive[i], negative[i], twice == any_power ? gamma[i] : T(0));
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.first;
    if constexpr (order > 1) hessian[i] = f.second;
  }
  return {largest, 0};
}

// `positive` holds the weight of each element.
template <int twice, int order, bool extreme, class T>
Seen<T> mixed_loop(const Block<T>& b, int64_t n) {
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma, *__restrict weight = b.positive;
  T *__restrict value = b.value, *__restrict gradient = b.gradient;
  Bits<T> largest = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const Bits<T> size = to_bits(std::fabs(z[i]));
    largest = size > largest ? size : largest;
    const Derivatives<T> f = mixed<twice, extreme>(z[i], y[i], weight[i], twice == any_power ? gamma[i] : T(0));
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.first;
    if constexpr (order > 1) b.hessian[i] = T(NAN);  // not covered: nobody shall take it for one
  }
  return {largest, 0};
}

enum class Labels { hard, two_term, mixed };

template <int twice, int order, bool extreme, class T>
Seen<T> loop(Labels labels, const Block<T>& b, int64_t n) {
  if (labels == Labels::mixed) return mixed_loop<twice, order, extreme>(b, n);
  if (labels == Labels::hard) return hard_loop<twice, order, extreme>(b, n);
  return two_term_loop<twice, order, extreme>(b, n);
}

template <int twice, bool extreme, class T>
Seen<T> loop(Labels labels, const Block<T>& b, int64_t n) {
  if (b.order == 0) return loop<twice, 0, extreme>(labels, b, n);
  if (b.order == 1) return loop<twice, 1, extreme>(labels, b, n);
  return loop<twice, 2, extreme>(labels, b, n);
}

// Which power serves this gamma: 2 gamma, or any_power.
inline int power_of(const Operand& gamma) {
  if (gamma.data != nullptr) return any_power;
  for (int twice : {0, 1, 2, 3, 4, 5, 6, 8, 10})
    if (2 * gamma.value == twice) return twice;
  return any_power;
}

template <bool extreme, class T>
Seen<T> loop(int twice, Labels labels, const Block<T>& block, int64_t n) {
  switch (twice) {
    case 0: return loop<0, extreme>(labels, block, n);
    case 1: return loop<1, extreme>(labels, block, n);
    case 2: return loop<2, extreme>(labels, block, n);
    case 3: return loop<3, extreme>(labels, block, n);
    case 4: return loop<4, extreme>(labels, block, n);
    case 5: return loop<5, extreme>(labels, block, n);
    case 6: return loop<6, extreme>(labels, block, n);
    case 8: return loop<8, extreme>(labels, block, n);
    case 10: return loop<10, extreme>(labels, block, n);
    default: return loop<any_power, extreme>(labels, block, n);
  }
}

// In T within a block, where no more than 64 numbers meet in one lane of the widest vectors; in double beyond.
template <class T>
double sum_of(const T* __restrict value, int64_t n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += value[i];
  return double(sum);
}

// The buffers of a block. 1024 elements: 40 KiB in float, of which a call touches a few.
template <class T>
struct Buffers {
  alignas(64) T z[block_size], label[block_size], y[block_size], gamma[block_size];
  alignas(64) T positive[block_size], negative[block_size];
  alignas(64) T upstream[block_size], value[block_size], gradient[block_size], hessian[block_size];
};

// Where a result goes: straight to its array, or to a buffer first if that is of another dtype or not wanted.
template <class T>
T* target(void* array, bool direct, int64_t position, T* buffer) {
  return array != nullptr && direct ? static_cast<T*>(array) + position : buffer;
}

template <class T>
void multiply_by(const T* __restrict factor, int64_t n, T* __restrict values) {
  for (int64_t i = 0; i < n; ++i) values[i] *= factor[i];
}

// Weights that are arrays, for hard labels: computed with weight 1, then multiplied.
template <class T>
void weigh(const Binary& call, int64_t begin, int64_t n, const Block<T>& block, Buffers<T>& buffers) {
  const T* positive = load(call.positive, call.shape, begin, n, buffers.positive, true);
  const T* negative = load(call.negative, call.shape, begin, n, buffers.negative, true);
  T *__restrict weight = buffers.positive, *__restrict value = block.value;
  for (int64_t i = 0; i < n; ++i) {
    weight[i] = block.y[i] > T(0.5) ? positive[i] : negative[i];
    const T product = weight[i] * value[i];
    value[i] = (weight[i] == 0) & (value[i] == T(INFINITY)) ? T(0) : product;
  }
  if (block.order > 0) multiply_by(weight, n, block.gradient);
  if (block.order > 1) multiply_by(weight, n, block.hessian);
}

// y -> (1 - a) y + a / 2, then the coefficients of the two terms, or the weight of the mixture.
template <class T>
void soften(const Binary& call, Labels labels, int64_t begin, int64_t n, const T* y, Buffers<T>& buffers) {
  const T keep = T(1 - call.smoothing), shift = T(call.smoothing / 2);
  const T* positive = load(call.positive, call.shape, begin, n, buffers.positive, true);
  const T* negative = load(call.negative, call.shape, begin, n, buffers.negative, true);
  const bool smoothed = call.smoothing != 0, mix = labels == Labels::mixed;
  for (int64_t i = 0; i < n; ++i) {
    const T label = smoothed ? mul_add(keep, y[i], shift) : y[i];
    const T a = positive[i] * label, b = negative[i] * (T(1) - label);
    buffers.y[i] = label;
    buffers.positive[i] = mix ? a + b : a;
    buffers.negative[i] = b;
  }
}

// What the last block was like; the next one is taken to be the same until it is seen not to be.
struct Expected {
  bool extreme = false, soft = false;
};

// One block by the loop that fits it.
template <class T>
void evaluate(const Binary& call, int twice, Block<T>& block, int64_t begin, int64_t n, Buffers<T>& buffers,
              Expected& expected) {
  const T* y = block.y;
  for (;;) {
    const Labels labels = !expected.soft                   ? Labels::hard
                          : call.family == Family::mixed ? Labels::mixed
                                                         : Labels::two_term;
    if (expected.soft) {
      soften(call, labels, begin, n, y, buffers);
      block.y = buffers.y;
    }
    const Seen<T> seen = expected.extreme ? loop<true>(twice, labels, block, n)
                                          : loop<false>(twice, labels, block, n);
    const bool extreme = seen.largest > to_bits(Traits<T>::normal_exp), soft = seen.soft != 0;
    const bool done = (expected.extreme || !extreme) && (expected.soft || !soft);
    expected.extreme = extreme;
    expected.soft |= soft;
    if (done) return;
  }
}

template <class T>
void block_of(const Binary& call, int twice, int64_t begin, int64_t n, Buffers<T>& buffers, Expected& expected,
              Outcome& outcome) {
  const bool integer = call.labels.dtype >= DType::boolean, direct = call.logits.dtype == dtype_of<T>();
  const bool numbers = call.positive.data == nullptr && call.negative.data == nullptr;
  const bool one_upstream = call.upstream.data == nullptr;
  const bool direct_slopes = derivative_dtype(call.logits.dtype, call.wide_derivatives) == dtype_of<T>();
  Block<T> block;
  block.z = load(call.logits, call.shape, begin, n, buffers.z, false);
  block.y = integer ? load_hard(call.labels, call.shape, begin, n, buffers.label, outcome)
                    : load(call.labels, call.shape, begin, n, buffers.label, false);
  block.gamma = twice == any_power ? load(call.gamma, call.shape, begin, n, buffers.gamma, true) : nullptr;
  block.order = call.hessian != nullptr ? 2 : call.gradient != nullptr ? 1 : 0;
  block.positive = buffers.positive;
  block.negative = buffers.negative;
  block.value = target(call.value, direct, begin, buffers.value);
  block.gradient = target(call.gradient, direct_slopes, begin, buffers.gradient);
  block.hessian = target(call.hessian, direct_slopes, begin, buffers.hessian);
  for (int k : {0, 1}) {
    const double weight = !numbers ? 1 : k == 1 ? call.positive.value : call.negative.value;
    block.value_weight[k] = T(weight);
    block.gradient_weight[k] = T(one_upstream ? weight * call.upstream.value : weight);
  }
  evaluate(call, twice, block, begin, n, buffers, expected);
  if (!expected.soft && !numbers) weigh(call, begin, n, block, buffers);
  outcome.sum += sum_of(block.value, n);
  if (!one_upstream || (expected.soft && call.upstream.value != 1)) {
    const T* upstream = load(call.upstream, call.shape, begin, n, buffers.upstream, false);
    if (block.order > 0) multiply_by(upstream, n, block.gradient);
    if (block.order > 1) multiply_by(upstream, n, block.hessian);
  }
  if (!direct) store(call.value, call.logits.dtype, begin, n, block.value);
  if (!direct_slopes) {
    store(call.gradient, call.logits.dtype, begin, n, block.gradient);
    store(call.hessian, call.logits.dtype, begin, n, block.hessian);
  }
}

template <class T>
void binary_range(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  Buffers<T> buffers;
  const int twice = power_of(call.gamma);
  Expected expected;
  expected.soft = call.smoothing != 0;
  for (int64_t start = begin; start < end; start += block_size)
    block_of(call, twice, start, end - start < block_size ? end - start : block_size, buffers, expected, outcome);
  outcome.count += end - begin;
}

inline void binary(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  return call.logits.dtype == DType::f64 ? binary_range<double>(call, begin, end, outcome)
                                         : binary_range<float>(call, begin, end, outcome);
}

}  // namespace focal::FOCAL_ISA
