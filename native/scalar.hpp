// One element: the focal loss of a margin and its first and second derivative. softmax_common.hpp computes the margin
// of a softmax; CONTRIBUTING.md has the derivations.
//
//     f(s) = q^g L,   p = sigmoid(s), q = 1 - p, L = -log p, l = -log q
//
// |s| is at most the largest finite number, or NaN. The caller handles infinite logits.
#pragma once

#include "vector_math.hpp"

namespace focal::FOCAL_ISA {

// A label y of one of `classes` classes, smoothed by a: (1 - a) y + a / classes.
template <class T>
struct LabelSmoothing {
  T scale, shift;

  LabelSmoothing(double a, double classes) : scale(T(1 - a)), shift(T(a / classes)) {}
  FOCAL_INLINE T operator()(T y) const { return mul_add(scale, y, shift); }
};

// p, q, L and l from one exponential u = exp(-|s|): the smaller of p and q is u / (1 + u), the larger 1 / (1 + u).
// They are raised to the power gamma, and their roundings with them, hence pairs. q is never 1 - p.
template <class T>
struct Sigmoid {
  Pair<T> p, q;
  T loss, other;  // L, l

  FOCAL_INLINE Sigmoid flipped() const { return {q, p, other, loss}; }
};

// p and q alone, and the correction that log1p(u) needs.
template <class T>
struct Probabilities {
  Pair<T> p, q;
  T correction;
};

// The probabilities of s, from the pair u (1 + u_error) = exp(-|s|) of exp_of_negative.
template <class T>
FOCAL_INLINE Probabilities<T> probabilities(T s, T u, T u_error) {
  const T inverse = T(1) / (T(1) + u), small = u * inverse;
  // 1 / (1 + u) is inverse (1 + error): 1 - inverse is exact, so that the rounding of 1 + u is seen as well.
  const T error = mul_add(-small, u_error, mul_add(-u, inverse, T(1) - inverse));
  const Pair<T> smaller = {small, mul_add(small, error + u_error, product_error(u, inverse, small))};
  const Pair<T> larger = {inverse, inverse * error};
  const bool wrong = s < 0;
  // log(1 + u (1 + e)) is log(1 + u) + u e / (1 + u), for a small e.
  return {{wrong ? smaller.hi : larger.hi, wrong ? smaller.lo : larger.lo},
          {wrong ? larger.hi : smaller.hi, wrong ? larger.lo : smaller.lo},
          u_error * inverse};
}

template <class T>
FOCAL_INLINE Sigmoid<T> sigmoid(T s, T u, T u_error) {
  const Probabilities<T> at = probabilities(s, u, u_error);
  const T near = log1p(u, at.correction), far = near + std::fabs(s);
  const bool wrong = s < 0;
  return {at.p, at.q, wrong ? far : near, wrong ? near : far};
}

// The exponents with a power of their own: 2 gamma, so that halves are integers. Any other is `any_power`.
// <tables: powers> Written by tools/tables.py; `make tables` writes it anew.
constexpr int any_power = -1;
constexpr int powers[] = {0, 1, 2, 3, 4, 5, 6, 8, 10};
constexpr double far_exponents = 1000;  // times exp_limit: beyond it only the size of an exponent matters
constexpr double power_is_zero = 1e30;  // from this exponent on, whatever is taken back
constexpr double splittable_gamma = 1e18;  // a larger one is too large for Dekker's splitting
// </tables: powers>

// m^g by exp(-g a), where a is -log(m) with a rounding error, which gamma multiplies. Comparing exp(-a) with m corrects
// it, unless m is subnormal. Gamma may be any number from 0 to the largest.
template <class T>
FOCAL_INLINE T power(Pair<T> m, T a, T gamma) {
  constexpr T far = T(far_exponents) * Traits<T>::exp_limit;  // inf * 0 must not arise
  constexpr T beyond = T(power_is_zero);
  constexpr T splittable = T(splittable_gamma);  // beyond it the correction is negligible
  a = a > far ? far : a < 0 ? T(0) : a;
  const Pair<T> back = exp_of_negative<true>(a);
  const T missed = ((m.hi - back.hi) + mul_add(-back.hi, back.lo, m.lo)) / m.hi;
  const T product = gamma * a, hi = product > beyond ? beyond : product;
  const T rounding = fused || gamma < splittable ? product_error(gamma, a, product) : T(0);
  const bool exact = (m.hi >= Traits<T>::smallest) & (product <= beyond);
  const T lo = exact ? mul_add(-gamma, missed, rounding) : T(0);
  const Pair<T> exponent = two_sum(hi, lo);
  const Pair<T> e = exp_of_negative<true>(exponent.hi < 0 ? T(0) : exponent.hi);
  return mul_add(e.hi, e.lo - exponent.lo, e.hi);
}

// q^g with at most one rounding beyond its pair. Small integers and half-integers are products and a square root.
template <int two_gamma, class T>
FOCAL_INLINE T power_of_q(const Sigmoid<T>& sigmoid, T gamma) {
  if constexpr (two_gamma == any_power) {
    return power(sigmoid.q, sigmoid.other, gamma);
  } else if constexpr (two_gamma == 0) {
    return T(1);
  } else if constexpr (two_gamma % 2 == 0) {
    const Pair<T> q = sigmoid.q;
    if constexpr (two_gamma == 2) return q.hi + q.lo;
    if constexpr (two_gamma == 4) return rounded_square(q);
    if constexpr (two_gamma == 6) return rounded_product(square(q), q);
    if constexpr (two_gamma == 8) return rounded_square(square(q));
    if constexpr (two_gamma == 10) return rounded_product(square(square(q)), q);
  } else {
    const Pair<T> q = sigmoid.q;
    const T root = std::sqrt(q.hi + q.lo);  // halves the rounding of the sum
    if constexpr (two_gamma == 1) return root;
    if constexpr (two_gamma == 3) return rounded_product(q, root);
    if constexpr (two_gamma == 5) return rounded_product(square(q), root);
  }
}

template <class T>
struct Derivatives {
  T value, first, second;
};

// f, df/ds and d2f/ds2, up to `order`.
//
//     f_s  = -q^g (g p L + q)
//     f_ss =  q^g [ (2g+1) p q + g p L (g p - q) ]
//
// No q^(g-1) is formed, so 0 < g < 1 needs no care. p L comes first: it is at most 0.28, where g L could overflow.
// The only negative term of f_ss is multiplied by `keep_negative_term`: 1, or 0 for the majorizer, which is positive
// everywhere.
template <int two_gamma, int order, class T>
FOCAL_INLINE Derivatives<T> focal(const Sigmoid<T>& sigmoid, T gamma, T keep_negative_term) {
  if constexpr (two_gamma != any_power) gamma = T(two_gamma) / 2;
  const T factor = power_of_q<two_gamma>(sigmoid, gamma);
  // p and q are rounded once from their pairs. In the slope p.hi suffices: q is larger there, or p.hi is accurate.
  const T p = order > 1 ? sigmoid.p.hi + sigmoid.p.lo : sigmoid.p.hi, q = sigmoid.q.hi + sigmoid.q.lo;
  const T p_loss = p * sigmoid.loss;
  const T slope = mul_add(gamma, p_loss, q);
  Derivatives<T> result{factor * sigmoid.loss, -(factor * slope), T(0)};
  if constexpr (order > 1 && two_gamma != any_power) {
    const T bracket = mul_add(gamma, p, -keep_negative_term * q);
    result.second = factor * mul_add(T(2) * gamma + T(1), p * q, gamma * p_loss * bracket);
  } else if constexpr (order > 1) {
    const T steep = factor * gamma, pq = p * q;  // first, because the square of gamma may be infinite where q^g is 0
    const T bracket = mul_add(gamma, p, -keep_negative_term * q);
    result.second = mul_add(steep * p_loss, bracket, mul_add(steep, T(2) * pq, factor * pq));
  }
  return result;
}

// The weights of positives and negatives. They multiply last, because a label times a weight may underflow where its
// product with the loss does not.
template <class T>
struct Weights {
  T positive, negative;

  // positive * y * x + negative * (1 - y) * z
  FOCAL_INLINE T of(T y, T x, T z) const { return mul_add(positive, y * x, negative * ((T(1) - y) * z)); }
};

// A soft label y, two-term: weight * y * f(z) + weight * (1 - y) * f(-z).
template <int two_gamma, int order, class T>
FOCAL_INLINE Derivatives<T> expected_loss(const Sigmoid<T>& positive, T y, Weights<T> weights, T gamma,
                                          T keep_negative_term) {
  const Derivatives<T> f = focal<two_gamma, order>(positive, gamma, keep_negative_term);
  const Derivatives<T> g = focal<two_gamma, order>(positive.flipped(), gamma, keep_negative_term);
  return {weights.of(y, f.value, g.value), weights.of(y, f.first, -g.first), weights.of(y, f.second, g.second)};
}

// A soft label, p_t mixed: (weighted) m^g B with m = 1 - p_t = y q + (1 - y) p and B = y L + (1 - y) l.
//
//     d/dz = m^g [ (1 - y) p - y q + g (1 - 2y) (p q / m) B ]
//
// For a hard label m is p or q, which may underflow; then p q / m is p_t, and -log m is L or l. If the label itself is
// subnormal, m equals it, and -log m is computed from m.
template <int two_gamma, class T>
FOCAL_INLINE Derivatives<T> p_t_loss(Sigmoid<T> at, T y, Weights<T> weights, T gamma) {
  if constexpr (two_gamma != any_power) gamma = T(two_gamma) / 2;
  const T p = at.p.hi, q = at.q.hi;
  const Pair<T> label = {y, T(0)}, rest = fast_two_sum(T(1), -y);
  const Pair<T> yq = multiply(label, at.q), rest_p = multiply(rest, at.p);
  Pair<T> m = two_sum(yq.hi, rest_p.hi);
  m.lo += yq.lo + rest_p.lo;
  const T p_t = mul_add(y, p, rest.hi * q), B = mul_add(y, at.loss, rest.hi * at.other);
  const bool present = m.hi >= Traits<T>::smallest, by_label = (y > 0) & (y < 1);
  const T ratio = (present | by_label) ? p * q / m.hi : p_t;
  T factor;
  if constexpr (two_gamma == any_power) {
    factor = power(m, (present | by_label) ? -log_of(m.hi) : mul_add(y, at.other, rest.hi * at.loss), gamma);
  } else {
    at.q = m;
    factor = power_of_q<two_gamma>(at, gamma);
  }
  const T inner = mul_add(rest.hi, p, -y * q) + gamma * (T(1) - T(2) * y) * (ratio * B);
  const T value = factor * B, first = factor * inner;
  return {weights.of(y, value, value), weights.of(y, first, first), T(0)};
}

}  // namespace focal::FOCAL_ISA
