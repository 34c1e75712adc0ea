// Loops over a block of logits that fits the first cache: one loop per kind of label and power, by the mathematics
// of scalar.hpp.
#pragma once

#include "kernels.hpp"
#include "scalar.hpp"

namespace focal::FOCAL_ISA {

constexpr int64_t block_size = 1024;

// The numbers of a block: pointers to `n` elements each, outputs included.
template <class T>
struct Block {
  const T *z, *y;
  const T* gamma;                                   // read for any_power only
  const T *positive, *negative;                     // the weights of soft labels; unused for hard ones
  T value_weight[2], gradient_weight[2];            // for hard labels: negatives, positives
  T *value, *gradient, *hessian;
  int order;  // the highest derivative wanted
  T keep_negative_term;  // 1, or 0 for the majorizer: see `focal`
};

// exp(-|z|) of a block as pairs u (1 + error). They have a loop of their own because some 40 operations from a logit to
// its loss wait for one another, more than a processor can overlap with the next elements: two loops over the first
// cache are a fifth faster than one.
template <class T>
struct Exponentials {
  T *u, *error;
  T* finite;  // room for the logits, infinite ones replaced
};

// Memory that the next block will read, prefetched while this one is computed, because the processor by itself
// fetches too little ahead of so slow a loop. Null if unknown.
struct Ahead {
  const char *logits = nullptr, *labels = nullptr;
  int64_t logit_size = 0, label_size = 0;  // bytes
};

FOCAL_INLINE void fetch(const char* data, int64_t begin, int64_t bytes) {
#if defined(_MSC_VER) && !defined(__clang__)
  (void)data, (void)begin, (void)bytes;
#else
  constexpr int64_t line = 64;
  if (data != nullptr)
    for (int64_t at = 0; at < bytes; at += line) __builtin_prefetch(data + begin + at);
#endif
}

// The findings of the first loop over a block.
template <class T>
struct Seen {
  Bits<T> largest;  // the bits of the largest |z|; those of inf and NaN are larger still
  Bits<T> soft;     // 0 if every label read is 0 or 1
  Bits<T> outside;  // 0 if every label read is in [0, 1]
  bool extreme() const { return largest > to_bits(Traits<T>::normal_exp); }
  bool infinite() const { return largest > to_bits(Traits<T>::largest); }
};

// y^2 - y: 0 for a hard label, negative for a soft one, positive outside of [0, 1], NaN for NaN.
template <class T>
FOCAL_INLINE T hardness_of(T y) {
  return mul_add(y, y, -y);
}

template <class T>
int64_t first_outside(const T* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    if (!(hardness_of(y[i]) <= 0)) return i;
  return -1;
}

template <bool check_labels, class T>
Seen<T> exponentials(const Block<T>& b, int64_t n, const Ahead& ahead, const Exponentials<T>& x) {
  constexpr int64_t strip = 128;
  const T *__restrict z = b.z, *__restrict y = b.y;
  T *__restrict u = x.u, *__restrict error = x.error;
  Bits<T> largest = 0, soft = 0, outside = 0;
  for (int64_t begin = 0; begin < n; begin += strip) {
    fetch(ahead.logits, begin * ahead.logit_size, strip * ahead.logit_size);
    fetch(ahead.labels, begin * ahead.label_size, strip * ahead.label_size);
    const int64_t end = begin + strip < n ? begin + strip : n;
    FOCAL_INDEPENDENT
    for (int64_t i = begin; i < end; ++i) {
      const T a = std::fabs(z[i]);
      const Bits<T> size = to_bits(a);
      largest = size > largest ? size : largest;
      if constexpr (check_labels) {
        const T hardness = hardness_of(y[i]);
        soft |= to_bits(hardness);
        outside |= hardness <= 0 ? Bits<T>(0) : Bits<T>(1);
      }
      const Pair<T> e = exp_of_negative<false>(a);
      u[i] = e.hi;
      error[i] = e.lo;
    }
  }
  return {largest, soft, outside};
}

// The same for logits of any size. Nearly every block has only ordinary logits and does not need it.
template <class T>
void extreme_exponentials(const T* __restrict z, int64_t n, const Exponentials<T>& x) {
  constexpr T largest = Traits<T>::largest;
  for (int64_t i = 0; i < n; ++i) {
    const Pair<T> e = exp_of_negative<true>(std::fabs(z[i]));
    x.u[i] = e.hi;
    x.error[i] = e.lo;
    x.finite[i] = std::fabs(z[i]) > largest ? std::copysign(largest, z[i]) : z[i];
  }
}

// Gammas in arrays have not been checked: a negative one counts as 0, an infinite one as the largest number.
template <class T>
FOCAL_INLINE T bounded(T gamma) {
  gamma = gamma > Traits<T>::largest ? Traits<T>::largest : gamma;
  return gamma < T(0) ? T(0) : gamma;
}

template <class T>
FOCAL_INLINE T sign_of(T x) {
  return x > 0 ? T(1) : x < 0 ? T(-1) : T(0);
}

// For a hard label.
template <class T>
FOCAL_INLINE bool is_negative(T y) {
  return y < T(0.5);
}

template <int two_gamma, int order, bool unit, class T>
void hard_loop(const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  const T v0 = b.value_weight[0], v1 = b.value_weight[1], g0 = b.gradient_weight[0], g1 = b.gradient_weight[1];
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient, *__restrict hessian = b.hessian;
  const T keep_negative_term = b.keep_negative_term;
  FOCAL_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const bool negative = is_negative(y[i]);
    // The sign is flipped as bits, because the compiler would turn a conditional negation into a second comparison.
    const T s = from_bits<T>(to_bits(z[i]) ^ (negative ? to_bits(T(-0.0)) : 0));
    const Derivatives<T> f =
        focal<two_gamma, order>(sigmoid(s, u[i], error[i]), two_gamma == any_power ? gamma[i] : T(0),
                                keep_negative_term);
    value[i] = unit ? f.value : (negative ? v0 : v1) * f.value;
    // With the sign of s the first derivative changes its own, the second does not. Weights may be negative.
    if constexpr (order > 0) gradient[i] = (negative ? -g0 : g1) * f.first;
    if constexpr (order > 1) hessian[i] = (negative ? g0 : g1) * f.second;
  }
}

template <int two_gamma, int order, class T>
void expected_loss_loop(const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma;
  const T *__restrict positive = b.positive, *__restrict negative = b.negative;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient, *__restrict hessian = b.hessian;
  const T keep_negative_term = b.keep_negative_term;
  FOCAL_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const Derivatives<T> f = expected_loss<two_gamma, order>(
        sigmoid(z[i], u[i], error[i]), y[i], {positive[i], negative[i]},
        two_gamma == any_power ? gamma[i] : T(0), keep_negative_term);
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.first;
    if constexpr (order > 1) hessian[i] = f.second;
  }
}

template <int two_gamma, int order, class T>
void p_t_loss_loop(const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  const T *__restrict z = b.z, *__restrict y = b.y, *__restrict gamma = b.gamma;
  const T *__restrict positive = b.positive, *__restrict negative = b.negative;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient;
  FOCAL_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    const Derivatives<T> f = p_t_loss<two_gamma>(sigmoid(z[i], u[i], error[i]), y[i], {positive[i], negative[i]},
                                          two_gamma == any_power ? gamma[i] : T(0));
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.first;
    if constexpr (order > 1) b.hessian[i] = T(NAN);  // not covered, and NaN makes that visible
  }
}

enum class Labels { hard, expected_loss, p_t_loss };

template <int two_gamma, int order, class T>
void loop_for_labels(Labels labels, const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  if (labels == Labels::p_t_loss) return p_t_loss_loop<two_gamma, order>(b, x, n);
  if (labels == Labels::expected_loss) return expected_loss_loop<two_gamma, order>(b, x, n);
  const bool unit = b.value_weight[0] == 1 && b.value_weight[1] == 1;
  return unit ? hard_loop<two_gamma, order, true>(b, x, n) : hard_loop<two_gamma, order, false>(b, x, n);
}

template <int two_gamma, class T>
void loop_for_order(Labels labels, const Block<T>& b, const Exponentials<T>& x, int64_t n) {
  if (b.order == 0) return loop_for_labels<two_gamma, 0>(labels, b, x, n);
  if (b.order == 1) return loop_for_labels<two_gamma, 1>(labels, b, x, n);
  return loop_for_labels<two_gamma, 2>(labels, b, x, n);
}

// The power that serves this gamma: 2 gamma, or any_power.
inline int power_of(const Operand& gamma) {
  if (gamma.data != nullptr) return any_power;
  for (int two_gamma : powers)
    if (2 * gamma.value == two_gamma) return two_gamma;
  return any_power;
}

template <class T>
void loop_for_power(int two_gamma, Labels labels, const Block<T>& block, const Exponentials<T>& x, int64_t n) {
  switch (two_gamma) {
    // <tables: powers> Written by tools/tables.py; `make tables` writes it anew.
    case 0: return loop_for_order<0>(labels, block, x, n);
    case 1: return loop_for_order<1>(labels, block, x, n);
    case 2: return loop_for_order<2>(labels, block, x, n);
    case 3: return loop_for_order<3>(labels, block, x, n);
    case 4: return loop_for_order<4>(labels, block, x, n);
    case 5: return loop_for_order<5>(labels, block, x, n);
    case 6: return loop_for_order<6>(labels, block, x, n);
    case 8: return loop_for_order<8>(labels, block, x, n);
    case 10: return loop_for_order<10>(labels, block, x, n);
    // </tables: powers>
    default: return loop_for_order<any_power>(labels, block, x, n);
  }
}

// The sign of the infinity to which the loss tends at the infinite logit i, even if its factors underflow; else 0. A
// matching cost falls without bound: the weight of its negatives is below 0.
template <class T>
T growth(Labels labels, const Block<T>& b, int64_t i) {
  if (labels == Labels::hard) return b.value[i] > 0 ? T(1) : T(0);
  const T by_positives = b.y[i] > 0 ? sign_of(b.positive[i]) : T(0);
  const T by_negatives = b.y[i] < 1 ? sign_of(b.negative[i]) : T(0);
  if (labels == Labels::expected_loss) return b.z[i] < 0 ? by_positives : by_negatives;
  const bool grows = (by_positives > 0 || by_negatives > 0) && (b.z[i] < 0 ? b.y[i] > 0 : b.y[i] < 1);
  return grows ? T(1) : T(0);
}

// Value and derivatives of a block whose exponentials are computed, by a loop over it.
template <class T, class Loop, class Growth>
void evaluate(Block<T> block, int64_t n, const Seen<T>& seen, const Exponentials<T>& x, Loop&& loop, Growth&& growth) {
  const T* const z = block.z;
  if (seen.extreme()) {
    extreme_exponentials(z, n, x);
    block.z = x.finite;
  }
  loop(block);
  if (!seen.infinite()) return;
  for (int64_t i = 0; i < n; ++i)
    if (std::fabs(z[i]) > Traits<T>::largest)
      if (const T sign = growth(block, i); sign != 0) block.value[i] += sign * T(INFINITY);  // NaN stays
}

template <class T>
void evaluate(int two_gamma, Labels labels, const Block<T>& given, int64_t n, const Seen<T>& seen,
              const Exponentials<T>& x) {
  evaluate(given, n, seen, x, [&](const Block<T>& b) { loop_for_power(two_gamma, labels, b, x, n); },
           [&](const Block<T>& b, int64_t i) { return growth(labels, b, i); });
}

// Sums within a block are in T, where even the narrowest vectors add at most 64 numbers in one lane; beyond it in
// double.
template <class T>
double sum_of(const T* __restrict value, int64_t n) {
  const int64_t quarter = n / 4;  // four sums hide the latency of an addition, four cycles
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

}  // namespace focal::FOCAL_ISA
