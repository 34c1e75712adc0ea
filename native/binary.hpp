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

// exp(-|z|) of a block as pairs. By themselves, because from a logit to its loss some 40 operations wait for one
// another, and no processor looks far enough ahead to fill that time with the next elements: two loops over the first
// cache are a fifth faster than one.
template <class T>
struct Exponentials {
  alignas(64) T u[block_size], error[block_size];
  alignas(64) T finite[block_size];  // the logits, infinite ones replaced
};

// Memory that the next block will read, fetched while this one is computed: left to itself, the processor fetches too
// little ahead of so slow a loop. Null: not known.
struct Ahead {
  const char *logits = nullptr, *labels = nullptr;
  int64_t logit_size = 0, label_size = 0;  // bytes
};

FOCAL_INLINE void fetch(const char* data, int64_t begin, int64_t bytes) {
  constexpr int64_t line = 64;
  if (data != nullptr)
    for (int64_t at = 0; at < bytes; at += line) __builtin_prefetch(data + begin + at);
}

// Returns the bits of the largest |z|, above which are inf and NaN.
template <class T>
Bits<T> exponentials(const T* __restrict z, int64_t n, const Ahead& ahead, Exponentials<T>& x) {
  constexpr int64_t strip = 128;
  T *__restrict u = x.u, *__restrict error = x.error;
  Bits<T> largest = 0;
  for (int64_t begin = 0; begin < n; begin += strip) {
    fetch(ahead.logits, begin * ahead.logit_size, strip * ahead.logit_size);
    fetch(ahead.labels, begin * ahead.label_size, strip * ahead.label_size);
    const int64_t end = begin + strip < n ? begin + strip : n;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
      const T a = std::fabs(z[i]);
      const Bits<T> size = to_bits(a);
      largest = size > largest ? size : largest;
      const Pair<T> e = exp_of_negative<false>(a);
      u[i] = e.hi;
      error[i] = e.lo;
    }
  }
  return largest;
}

// The same for logits of any size, which a block of ordinary ones, nearly every block, is spared.
template <class T>
void extreme_exponentials(const T* __restrict z, int64_t n, Exponentials<T>& x) {
  constexpr T largest = Traits<T>::largest;
  for (int64_t i = 0; i < n; ++i) {
    const Pair<T> e = exp_of_negative<true>(std::fabs(z[i]));
    x.u[i] = e.hi;
    x.error[i] = e.lo;
    x.finite[i] = std::fabs(z[i]) > largest ? std::copysign(largest, z[i]) : z[i];
  }
}

template <int twice, int order, bool unit, class T>
void hard_loop(const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  const T v0 = b.value_weight[0], v1 = b.value_weight[1], g0 = -b.gradient_weight[0], g1 = b.gradient_weight[1];
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient, *__restrict hessian = b.hessian;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const bool negative = y[i] < T(0.5);
    // The sign as bits: of a negation under a condition the compiler makes a second comparison.
    const T s = from_bits<T>(to_bits(z[i]) ^ (negative ? to_bits(T(-0.0)) : 0));
    const Derivatives<T> f = focal<twice, order>(score(s, u[i], error[i]), twice == any_power ? gamma[i] : T(0));
    const T slope_weight = negative ? g0 : g1;
    value[i] = unit ? f.value : (negative ? v0 : v1) * f.value;
    if constexpr (order > 0) gradient[i] = slope_weight * f.first;
    if constexpr (order > 1) hessian[i] = std::fabs(slope_weight) * f.second;
  }
}

template <int twice, int order, class T>
void two_term_loop(const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  const T *__restrict z = b.z, *__restrict gamma = b.gamma;
  const T *__restrict positive = b.positive, *__restrict negative = b.negative;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient, *__restrict hessian = b.hessian;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const Derivatives<T> f = two_term<twice, order>(score(z[i], u[i], error[i]), positive[i], negative[i],
                                                    twice == any_power ? gamma[i] : T(0));
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.first;
    if constexpr (order > 1) hessian[i] = f.second;
  }
}

// `positive` holds the weight of each element.
template <int twice, int order, class T>
void mixed_loop(const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma, *__restrict weight = b.positive;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const Derivatives<T> f =
        mixed<twice>(score(z[i], u[i], error[i]), y[i], weight[i], twice == any_power ? gamma[i] : T(0));
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.first;
    if constexpr (order > 1) b.hessian[i] = T(NAN);  // not covered: nobody shall take it for one
  }
}

enum class Labels { hard, two_term, mixed };

template <int twice, int order, class T>
void loop(Labels labels, const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  if (labels == Labels::mixed) return mixed_loop<twice, order>(b, x, n);
  if (labels == Labels::two_term) return two_term_loop<twice, order>(b, x, n);
  const bool unit = b.value_weight[0] == 1 && b.value_weight[1] == 1;
  return unit ? hard_loop<twice, order, true>(b, x, n) : hard_loop<twice, order, false>(b, x, n);
}

template <int twice, class T>
void loop(Labels labels, const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  if (b.order == 0) return loop<twice, 0>(labels, b, x, n);
  if (b.order == 1) return loop<twice, 1>(labels, b, x, n);
  return loop<twice, 2>(labels, b, x, n);
}

// Which power serves this gamma: 2 gamma, or any_power.
inline int power_of(const Operand& gamma) {
  if (gamma.data != nullptr) return any_power;
  for (int twice : {0, 1, 2, 3, 4, 5, 6, 8, 10})
    if (2 * gamma.value == twice) return twice;
  return any_power;
}

template <class T>
void loop(int twice, Labels labels, const Block<T>& block, const Exponentials<T>& x, int64_t n) {
  switch (twice) {
    case 0: return loop<0>(labels, block, x, n);
    case 1: return loop<1>(labels, block, x, n);
    case 2: return loop<2>(labels, block, x, n);
    case 3: return loop<3>(labels, block, x, n);
    case 4: return loop<4>(labels, block, x, n);
    case 5: return loop<5>(labels, block, x, n);
    case 6: return loop<6>(labels, block, x, n);
    case 8: return loop<8>(labels, block, x, n);
    case 10: return loop<10>(labels, block, x, n);
    default: return loop<any_power>(labels, block, x, n);
  }
}

// Value and derivatives of a block.
template <class T>
void evaluate(int twice, Labels labels, Block<T> block, int64_t n, const Ahead& ahead, Exponentials<T>& x) {
  const T* z = block.z;
  const Bits<T> largest = exponentials(z, n, ahead, x);
  if (largest > to_bits(Traits<T>::normal_exp)) {
    extreme_exponentials(z, n, x);
    block.z = x.finite;
  }
  loop(twice, labels, block, x, n);
  if (largest <= to_bits(Traits<T>::largest)) return;
  // The limit at an infinite logit: inf where the loss grows without bound.
  for (int64_t i = 0; i < n; ++i)
    if (std::fabs(z[i]) > Traits<T>::largest && block.value[i] > 0) block.value[i] = T(INFINITY);
}

// In T within a block, where no more than 64 numbers meet in one lane of the widest vectors; in double beyond.
template <class T>
double sum_of(const T* __restrict value, int64_t n) {
  const int64_t quarter = n / 4;  // four sums, because an addition takes four times as long as until the next can start
  const T *__restrict v1 = value + quarter, *__restrict v2 = v1 + quarter, *__restrict v3 = v2 + quarter;
  T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
  for (int64_t i = 0; i < quarter; ++i) {
    s0 += value[i];
    s1 += v1[i];
    s2 += v2[i];
    s3 += v3[i];
  }
  for (int64_t i = 4 * quarter; i < n; ++i) s0 += value[i];
  return double((s0 + s1) + (s2 + s3));
}

// The buffers of a block. 1024 elements: 52 KiB in float, of which a call touches a few.
template <class T>
struct Buffers {
  Exponentials<T> exponentials;
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

// Whether any label is neither 0 nor 1.
template <class T>
bool any_soft(const T* __restrict y, int64_t n) {
  Bits<T> soft = 0;
  for (int64_t i = 0; i < n; ++i) soft |= to_bits(mul_add(y[i], y[i], -y[i]));
  return soft != 0;
}

template <class T>
void block_of(const Binary& call, int twice, int64_t begin, int64_t n, const Ahead& ahead, Buffers<T>& buffers,
              bool& soft, Outcome& outcome) {
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
  soft = soft || (!integer && any_soft(block.y, n));
  const Labels labels = !soft ? Labels::hard : call.family == Family::mixed ? Labels::mixed : Labels::two_term;
  if (soft) {
    soften(call, labels, begin, n, block.y, buffers);
    block.y = buffers.y;
  }
  evaluate(twice, labels, block, n, ahead, buffers.exponentials);
  if (!soft && !numbers) weigh(call, begin, n, block, buffers);
  outcome.sum += sum_of(block.value, n);
  if (!one_upstream || (soft && call.upstream.value != 1)) {
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

// Where the elements from `begin` on lie, if they lie together.
inline const char* contiguous_from(const Operand& operand, const Shape& shape, int64_t begin) {
  if (operand.data == nullptr || !is_contiguous(operand, shape)) return nullptr;
  return static_cast<const char*>(operand.data) + begin * item_size(operand.dtype);
}

template <class T>
void binary_range(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  Buffers<T> buffers;
  const int twice = power_of(call.gamma);
  bool soft = call.smoothing != 0;  // from the first soft label on
  Ahead ahead;
  ahead.logit_size = item_size(call.logits.dtype);
  ahead.label_size = item_size(call.labels.dtype);
  for (int64_t start = begin; start < end; start += block_size) {
    const int64_t next = start + block_size;
    ahead.logits = next < end ? contiguous_from(call.logits, call.shape, next) : nullptr;
    ahead.labels = next < end ? contiguous_from(call.labels, call.shape, next) : nullptr;
    block_of(call, twice, start, next < end ? block_size : end - start, ahead, buffers, soft, outcome);
  }
  outcome.count += end - begin;
}

inline void binary(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  return call.logits.dtype == DType::f64 ? binary_range<double>(call, begin, end, outcome)
                                         : binary_range<float>(call, begin, end, outcome);
}

}  // namespace focal::FOCAL_ISA
