// ONE element: the focal loss of a margin and its first and second derivative. What makes a margin of a softmax is in
// examples.hpp; the derivations are in CONTRIBUTING.md.
//
//     f(s) = q^g L,   p = sigmoid(s), q = 1 - p, L = -log p, l = -log q
//
// |s| is at most the largest finite number, or NaN. What an infinite logit gives is up to who calls.
#pragma once

#include "vector_math.hpp"

namespace focal::FOCAL_ISA {

// p, q, L and l from one exponential u = exp(-|s|): the smaller of p and q is u / (1 + u), the larger 1 / (1 + u).
// They are raised to the power gamma, and their roundings with them, hence pairs. q is never 1 - p.
template <class T>
struct Score {
  Pair<T> p, q;
  T loss, other;  // L, l

  FOCAL_INLINE Score flipped() const { return {q, p, other, loss}; }
};

// Of s and the pair u (1 + u_error) = exp(-|s|) that exp_of_negative gives.
template <class T>
FOCAL_INLINE Score<T> score(T s, T u, T u_error) {
  const T a = std::fabs(s);
  const T inverse = T(1) / (T(1) + u), small = u * inverse;
  // 1 / (1 + u) is inverse (1 + error): 1 - inverse is exact, so that the rounding of 1 + u is seen as well.
  const T error = mul_add(-small, u_error, mul_add(-u, inverse, T(1) - inverse));
  const Pair<T> smaller = {small, mul_add(small, error + u_error, product_error(u, inverse, small))};
  const Pair<T> larger = {inverse, inverse * error};
  // log(1 + u (1 + e)) is log(1 + u) + u e / (1 + u), for a small e.
  const T near = log1p(u, u_error * inverse), far = near + a;
  const bool wrong = s < 0;
  return {{wrong ? smaller.hi : larger.hi, wrong ? smaller.lo : larger.lo},
          {wrong ? larger.hi : smaller.hi, wrong ? larger.lo : smaller.lo},
          wrong ? far : near,
          wrong ? near : far};
}

// The exponents with a power of their own: 2 gamma, so that halves are integers. Any other is `any_power`.
constexpr int any_power = -1;

// m^g by exp(-g a), where a is -log(m) but for its rounding, which gamma would multiply: it is taken back by comparing
// exp(-a) with m. Where m is subnormal, a stands alone. For any gamma from 0 to the largest number.
template <class T>
FOCAL_INLINE T power(Pair<T> m, T a, T gamma) {
  constexpr T far = T(1000) * Traits<T>::exp_limit;  // beyond it only the size of a matters, and inf * 0 must not arise
  constexpr T beyond = T(1e30);     // from here on the power is 0 whatever is taken back
  constexpr T splittable = T(1e18);  // a larger gamma is too large for Dekker's splitting, and what it misses too small
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

// q^g, rounded once more at most than its pair. Small integers and half-integers are products and a square root.
template <int twice, class T>
FOCAL_INLINE T power_of_q(const Score<T>& score, T gamma) {
  if constexpr (twice == any_power) {
    return power(score.q, score.other, gamma);
  } else if constexpr (twice == 0) {
    return T(1);
  } else if constexpr (twice % 2 == 0) {
    const Pair<T> q = score.q;
    if constexpr (twice == 2) return q.hi + q.lo;
    if constexpr (twice == 4) return rounded_square(q);
    if constexpr (twice == 6) return rounded_product(square(q), q);
    if constexpr (twice == 8) return rounded_square(square(q));
    if constexpr (twice == 10) return rounded_product(square(square(q)), q);
  } else {
    const Pair<T> q = score.q;
    const T root = std::sqrt(q.hi + q.lo);  // which halves what the sum rounds
    if constexpr (twice == 1) return root;
    if constexpr (twice == 3) return rounded_product(q, root);
    if constexpr (twice == 5) return rounded_product(square(q), root);
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
// The only negative term of f_ss is multiplied by `concave`: 0 leaves the majorizer, which is positive everywhere.
template <int twice, int order, class T>
FOCAL_INLINE Derivatives<T> focal(const Score<T>& score, T gamma, T concave) {
  if constexpr (twice != any_power) gamma = T(twice) / 2;
  const T factor = power_of_q<twice>(score, gamma);
  // Rounded once from their pairs. In the slope p stands beside more of q, or itself is near enough.
  const T p = order > 1 ? score.p.hi + score.p.lo : score.p.hi, q = score.q.hi + score.q.lo, p_loss = p * score.loss;
  const T slope = mul_add(gamma, p_loss, q);
  Derivatives<T> result{factor * score.loss, -(factor * slope), T(0)};
  if constexpr (order > 1 && twice != any_power) {
    result.second = factor * mul_add(T(2) * gamma + T(1), p * q, gamma * p_loss * mul_add(gamma, p, -concave * q));
  } else if constexpr (order > 1) {
    const T steep = factor * gamma, pq = p * q;  // first, because the square of gamma may be infinite where q^g is 0
    result.second = mul_add(steep * p_loss, mul_add(gamma, p, -concave * q), mul_add(steep, T(2) * pq, factor * pq));
  }
  return result;
}

// The weights of positives and negatives. They multiply last: a label times a weight may be too small for a number where
// its product with the loss is not.
template <class T>
struct Weights {
  T positive, negative;

  // positive * y * x + negative * (1 - y) * z
  FOCAL_INLINE T of(T y, T x, T z) const { return mul_add(positive, y * x, negative * ((T(1) - y) * z)); }
};

// A soft label y, two-term: weight * y * f(z) + weight * (1 - y) * f(-z).
template <int twice, int order, class T>
FOCAL_INLINE Derivatives<T> two_term(const Score<T>& positive, T y, Weights<T> weights, T gamma, T concave) {
  const Derivatives<T> f = focal<twice, order>(positive, gamma, concave);
  const Derivatives<T> g = focal<twice, order>(positive.flipped(), gamma, concave);
  return {weights.of(y, f.value, g.value), weights.of(y, f.first, -g.first), weights.of(y, f.second, g.second)};
}

// A soft label, p_t mixed: (weighted) m^g B with m = 1 - p_t = y q + (1 - y) p and B = y L + (1 - y) l.
//
//     d/dz = m^g [ (1 - y) p - y q + g (1 - 2y) (p q / m) B ]
//
// A hard label makes m p or q, which may underflow: then p q / m is p_t, and -log m is L or l. A label may be subnormal
// itself, and m with it, but then m is the label and has its logarithm.
template <int twice, class T>
FOCAL_INLINE Derivatives<T> mixed(Score<T> at, T y, Weights<T> weights, T gamma) {
  if constexpr (twice != any_power) gamma = T(twice) / 2;
  const T p = at.p.hi, q = at.q.hi;
  const Pair<T> label = {y, T(0)}, rest = fast_two_sum(T(1), -y);
  const Pair<T> yq = multiply(label, at.q), rest_p = multiply(rest, at.p);
  Pair<T> m = two_sum(yq.hi, rest_p.hi);
  m.lo += yq.lo + rest_p.lo;
  const T p_t = mul_add(y, p, rest.hi * q), B = mul_add(y, at.loss, rest.hi * at.other);
  const bool present = m.hi >= Traits<T>::smallest, by_label = (y > 0) & (y < 1);
  const T ratio = present | by_label ? p * q / m.hi : p_t;
  T factor;
  if constexpr (twice == any_power) {
    factor = power(m, present | by_label ? -log_of(m.hi) : mul_add(y, at.other, rest.hi * at.loss), gamma);
  } else {
    at.q = m;
    factor = power_of_q<twice>(at, gamma);
  }
  const T inner = mul_add(rest.hi, p, -y * q) + gamma * (T(1) - T(2) * y) * (ratio * B);
  const T value = factor * B, first = factor * inner;
  return {weights.of(y, value, value), weights.of(y, first, first), T(0)};
}

}  // namespace focal::FOCAL_ISA
