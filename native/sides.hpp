// ONE element of the losses that are M B of a target t in [0, 1], and their loops over a block:
//
//     B = t L + (1 - t) l,   M a power that differs by the side of the label
//
//     asymmetric     M = q^g+ of the positives, m^g- of the negatives with m = max(p - c, 0), where B is -log(1 - m)
//     scores         M = 1 where the label is above 0, and p^g where it is 0 (varifocal, matchability-aware)
//     raised         the same with t = y^g (matchability-aware): p or y has the one power that the element needs
//     quality        M = |d|^g with d = t q - (1 - t) p
//     poly1          M as in the focal loss, with L + e q in place of L and l + e p in place of l
//
// p, q, L, l are those of scalar.hpp. There is a value and a first derivative, no second one.
#pragma once

#include "blocks.hpp"

namespace focal::FOCAL_ISA {

enum class Kind { asymmetric, clipped, scores, raised, quality, poly1 };  // clipped: asymmetric with c > 0

// How a power is computed: by products, by products and a square root, or by an exponential.
enum class Power { products, with_root, any };

// The numbers that all elements of a call share. In each pair that of the negatives comes first.
template <class T>
struct Sides {
  T gamma[2];
  T slope_gamma[2];    // 0 where the derivative takes the power for a constant
  Bits<T> bit[2][4];   // bit[side][k]: all ones where twice the exponent, an integer of at most 10, has the bit 2^k
  Bits<T> times_m;     // of clipped negatives: all ones where the exponent is gamma - 1, and m is yet to be multiplied
  T clip, epsilon;

  static bool by_products(double exponent) { return exponent <= 5 && 2 * exponent == double(int(2 * exponent)); }

  void set_gamma(int side, double number, bool constant) {
    gamma[side] = T(number);
    slope_gamma[side] = constant ? T(0) : T(number);
    set_exponent(side, number);
  }

  void set_exponent(int side, double number) {
    for (int k = 0; k < 4; ++k)
      bit[side][k] = by_products(number) && (int(2 * number) >> k) % 2 != 0 ? ~Bits<T>(0) : Bits<T>(0);
  }

  // The gammas being set. The slope of a clipped negative has the power gamma - 1, which no product gives below 1.
  Power choose_power(bool clipped) {
    times_m = Bits<T>(0);
    if (!by_products(gamma[0]) || !by_products(gamma[1]) || (clipped && gamma[0] > 0 && gamma[0] < 1)) return Power::any;
    if (clipped && gamma[0] >= 1) {
      times_m = ~times_m;
      set_exponent(0, gamma[0] - 1);
    }
    return bit[0][0] | bit[1][0] ? Power::with_root : Power::products;
  }
};

// x, or 1 where the bits are 0.
template <class T>
FOCAL_INLINE T where(Bits<T> bits, T x) {
  return from_bits<T>((to_bits(x) & bits) | (to_bits(T(1)) & ~bits));
}

// The power of m of the side of the element. By products every power is computed and those of the binary digits of
// twice the exponent are multiplied, so that both sides share a loop. m is rounded once from its pair, and raised with
// that rounding: an exponent of 5 makes 4.5 eps of it. Only Power::any reads `neg_log_m`.
template <Power power_kind, class T>
FOCAL_INLINE T power_of_side(Pair<T> m, T neg_log_m, bool negative, const Sides<T>& sides) {
  if constexpr (power_kind == Power::any) {
    return power(m, neg_log_m, negative ? sides.gamma[0] : sides.gamma[1]);
  } else {
    const auto bits = [&](int k) { return negative ? sides.bit[0][k] : sides.bit[1][k]; };
    const T x = m.hi + m.lo, x2 = x * x;
    const T result = where(bits(1), x) * where(bits(2), x2) * where(bits(3), x2 * x2);
    return power_kind == Power::products ? result : result * where(bits(0), std::sqrt(x));
  }
}

template <class T>
struct Raised {
  T power, rest;  // x^g and 1 - x^g
};

// By products: the factors of a product have their own 1 - x, and 1 - x y = (1 - x) + x (1 - y) adds what is positive, so
// that the rest is as precise as a rounding of it.
template <Power power_kind, class T>
FOCAL_INLINE Raised<T> raise(T x, const Sides<T>& sides) {
  const auto& bit = sides.bit[1];
  const auto kept = [](Bits<T> bits, T rest) { return from_bits<T>(to_bits(rest) & bits); };
  const T r = T(1) - x, x2 = x * x, r2 = mul_add(x, r, r), r4 = mul_add(x2, r2, r2);
  Raised<T> all = {where(bit[1], x), kept(bit[1], r)};
  all.rest = mul_add(all.power, kept(bit[2], r2), all.rest);
  all.power *= where(bit[2], x2);
  all.rest = mul_add(all.power, kept(bit[3], r4), all.rest);
  all.power *= where(bit[3], x2 * x2);
  if constexpr (power_kind == Power::with_root) {
    const T root = std::sqrt(x);
    all.rest = mul_add(all.power, kept(bit[0], r / (T(1) + root)), all.rest);
    all.power *= where(bit[0], root);
  }
  return all;
}

// By an exponential, and the rest by its series where it is small.
template <class T>
FOCAL_INLINE Raised<T> raise(Pair<T> x, T neg_log_x, T gamma) {
  const T exponent = gamma * neg_log_x, whole = power(x, neg_log_x, gamma);
  T series = T(1);  // of (1 - exp(-e)) / e
  for (int k = 16; k > 1; --k) series = T(1) - exponent * (T(1) / T(k)) * series;
  return {whole, exponent < T(0.5) ? exponent * series : T(1) - whole};
}

// -log(r) = log1p((1 - r) / r) for r in (0, 1], where m = 1 - r is known apart, as the argument of log1p, which is in
// [0, 1], and what is to be added; and 1 / r. Below 1/2 r is scaled to [1/2, 1): 1 - r is exact there.
template <class T>
struct Logarithm {
  T argument, addend, inverse;
};

template <class T>
FOCAL_INLINE Logarithm<T> neg_log_of_rest(T r, T m) {
  using C = Traits<T>;
  using U = Bits<T>;
  const U half = U(C::bias - 1) << C::mantissa;
  const bool near = r >= T(0.5);
  const T scaled = near ? r : from_bits<T>((to_bits(r) & ((U(1) << C::mantissa) - 1)) | half);
  constexpr T base = T(uint64_t(1) << C::mantissa);  // the exponent as a number: see `log_of`
  const T exponent = from_bits<T>((to_bits(r) >> C::mantissa) | to_bits(base)) - base - T(C::bias - 1);
  const U power = (U(2 * C::bias - 1) << C::mantissa) - (to_bits(r) & ~((U(1) << C::mantissa) - 1));  // scaled / r
  const T inverse = T(1) / scaled;
  return {(near ? m : T(1) - scaled) * inverse, near ? T(0) : -exponent * (C::ln2_hi + C::ln2_lo),
          near ? inverse : inverse * from_bits<T>(power)};
}

// The power of the base that the element needs: of p for a negative, of which `neg_log_p` is the logarithm, else of the
// label. Only Power::any reads the logarithms.
template <Power power_kind, class T>
FOCAL_INLINE Raised<T> raise_base(Pair<T> p, T neg_log_p, T label, bool negative, const Sides<T>& sides) {
  if constexpr (power_kind == Power::any) {
    const T neg_log = label >= T(0.5) ? log1p((T(1) - label) / label, T(0)) : -log_of(label);
    const Pair<T> base = {negative ? p.hi : label, negative ? p.lo : T(0)};
    return raise(base, negative ? neg_log_p : neg_log, sides.gamma[0]);
  } else {
    return raise<power_kind>(negative ? p.hi + p.lo : label, sides);
  }
}

template <class T>
struct ValueAndSlope {
  T value, slope;
};

// The element z, with u and error of `exponentials`: for `negative` the side of label 0. t is 0 there, and 1 on the other
// side but for scores and quality; raised, it is the label. `other` is 1 - t.
template <Kind kind, Power power_kind, class T>
FOCAL_INLINE ValueAndSlope<T> of_side(T z, T u, T error, bool negative, T t, T other, const Sides<T>& sides) {
  const Probabilities<T> at = probabilities(z, u, error);
  const T a = std::fabs(z), p = at.p.hi, q = at.q.hi;
  const bool wrong = z < 0;
  const T gamma = negative ? sides.slope_gamma[0] : sides.slope_gamma[1];
  Pair<T> m = {negative ? at.p.hi : at.q.hi, negative ? at.p.lo : at.q.lo};
  T raised_factor = T(1);
  if constexpr (kind == Kind::raised) {
    const T neg_log_p = log1p(u, at.correction) + (wrong ? a : T(0));
    const Raised<T> base = raise_base<power_kind>(at.p, neg_log_p, t, negative, sides);
    t = negative ? T(0) : base.power;
    other = negative ? T(1) : base.rest;
    raised_factor = negative ? base.power : T(1);
  }
  Logarithm<T> log = {u, a * (wrong ? t : other), T(1)};
  T correction = at.correction, d = T(0);
  if constexpr (kind == Kind::clipped) {
    const T above = (p - sides.clip) + at.p.lo;  // p - c is exact where it is small beside p
    const Logarithm<T> clipped = neg_log_of_rest((q + sides.clip) + at.q.lo, above);
    m = {negative ? above : m.hi, negative ? T(0) : m.lo};
    log = {negative ? clipped.argument : log.argument, negative ? clipped.addend : log.addend, clipped.inverse};
    correction = negative ? T(0) : correction;
  }
  if constexpr (kind == Kind::quality) {
    const Pair<T> label = {t, T(0)}, rest = fast_two_sum(T(1), -t);
    const Pair<T> tq = multiply(label, at.q), rest_p = multiply(rest, at.p);
    m = two_sum(tq.hi, -rest_p.hi);
    m.lo += tq.lo - rest_p.lo;
    d = m.hi + m.lo;
    const T sign = d < 0 ? T(-1) : T(1);
    m = {sign * m.hi, sign * m.lo};
  }
  T B = log1p(log.argument, correction) + log.addend;
  T neg_log_m = T(0);
  if constexpr (power_kind == Power::any && kind != Kind::raised) {
    // -log p or -log q, where m is one of them; a hard label has it also where m underflows.
    const T of_p_or_q = log1p(u, at.correction) + ((kind == Kind::quality ? t < T(0.5) : negative) == wrong ? a : T(0));
    const bool other_base = kind == Kind::clipped ? negative : kind == Kind::quality && ((t > 0) & (t < 1));
    neg_log_m = other_base ? -log_of(m.hi) : of_p_or_q;
  }
  const T factor = kind == Kind::raised ? raised_factor : power_of_side<power_kind>(m, neg_log_m, negative, sides);
  T slope_of_B = mul_add(other, p, -t * q);
  if constexpr (kind == Kind::poly1) {
    B = mul_add(sides.epsilon, m.hi, B);
    slope_of_B *= mul_add(sides.epsilon, negative ? q : p, T(1));
  }
  if constexpr (kind == Kind::quality) {
    // Where |d| of a hard label underflows, p q / |d| is what is right of p and q.
    const bool present = m.hi >= Traits<T>::smallest, soft = (t > 0) & (t < 1);
    const T ratio = present ? p * q / m.hi : soft ? T(0) : T(1) - m.hi;
    return {factor * B, mul_add(factor * gamma * (d < 0 ? ratio : -ratio), B, factor * -d)};
  }
  // The factor multiplies gamma first: gamma times B may overflow where the factor is 0.
  const T slope = mul_add(factor * gamma * (negative ? q : -p), B, factor * slope_of_B);
  if constexpr (kind == Kind::clipped) {
    const bool easy = negative & (m.hi <= 0);
    const T whole = negative ? factor * where(sides.times_m, m.hi) : factor;
    const T less = power_kind == Power::any ? whole / m.hi : factor;  // m^(g-1)
    const T steep = p * q * mul_add(gamma * less, B, whole * log.inverse);
    return {easy ? T(0) : whole * B, easy ? T(0) : negative ? steep : slope};
  }
  return {factor * B, slope};
}

template <Kind kind, Power power_kind, bool soft, int order, class T>
void side_loop(const Block<T>& b, const Sides<T>& given, const Exponentials<T>& x, int64_t n) {
  const Sides<T> sides = given;
  const T *__restrict z = b.z, *__restrict y = b.y;
  const T *__restrict positive = b.positive, *__restrict negative = b.negative;
  const T *__restrict u = x.u, *__restrict error = x.error;
  T *__restrict value = b.value, *__restrict gradient = b.gradient;
  constexpr bool weighted = kind == Kind::poly1;
  FOCAL_INDEPENDENT
  for (int64_t i = 0; i < n; ++i) {
    ValueAndSlope<T> f;
    if constexpr (kind == Kind::scores || kind == Kind::raised) {
      f = of_side<kind, power_kind>(z[i], u[i], error[i], y[i] == 0, y[i], T(1) - y[i], sides);
      const T weight = y[i] == 0 ? negative[i] : kind == Kind::scores ? y[i] : T(1);
      f = {weight * f.value, weight * f.slope};
    } else if constexpr (kind == Kind::quality) {
      f = of_side<kind, power_kind>(z[i], u[i], error[i], false, y[i], T(1) - y[i], sides);
    } else if constexpr (soft) {
      const ValueAndSlope<T> one = of_side<kind, power_kind>(z[i], u[i], error[i], false, T(1), T(0), sides);
      const ValueAndSlope<T> zero = of_side<kind, power_kind>(z[i], u[i], error[i], true, T(0), T(1), sides);
      const Weights<T> weights = {weighted ? positive[i] : T(1), weighted ? negative[i] : T(1)};
      f = {weights.of(y[i], one.value, zero.value), weights.of(y[i], one.slope, zero.slope)};
    } else {
      const bool on_negatives = is_negative(y[i]);
      const T t = on_negatives ? T(0) : T(1);
      f = of_side<kind, power_kind>(z[i], u[i], error[i], on_negatives, t, T(1) - t, sides);
      if constexpr (weighted) {
        const T weight = on_negatives ? negative[i] : positive[i];
        f = {weight * f.value, weight * f.slope};
      }
    }
    value[i] = f.value;
    if constexpr (order > 0) gradient[i] = f.slope;
  }
}

template <Kind kind, Power power_kind, class T>
void side_loop_for(bool soft, const Block<T>& b, const Sides<T>& sides, const Exponentials<T>& x, int64_t n) {
  // Those that take all labels alike.
  constexpr bool either = kind != Kind::scores && kind != Kind::raised && kind != Kind::quality;
  if (either && soft)
    return b.order == 0 ? side_loop<kind, power_kind, either, 0>(b, sides, x, n)
                        : side_loop<kind, power_kind, either, 1>(b, sides, x, n);
  return b.order == 0 ? side_loop<kind, power_kind, false, 0>(b, sides, x, n)
                      : side_loop<kind, power_kind, false, 1>(b, sides, x, n);
}

template <Kind kind, class T>
void side_loop_for(Power power_kind, bool soft, const Block<T>& b, const Sides<T>& sides, const Exponentials<T>& x,
                   int64_t n) {
  if (power_kind == Power::products) return side_loop_for<kind, Power::products>(soft, b, sides, x, n);
  if (power_kind == Power::with_root) return side_loop_for<kind, Power::with_root>(soft, b, sides, x, n);
  return side_loop_for<kind, Power::any>(soft, b, sides, x, n);
}

// The slopes of logits so large that q is subnormal: q / (q + c), which is normal, comes from the root of q.
template <class T>
void clipped_slopes_where_q_is_subnormal(const Block<T>& b, const Sides<T>& sides, int64_t n) {
  const T m = T(1) - sides.clip, gamma = sides.gamma[0];  // m is 0 where the clip rounds to 1
  for (int64_t i = 0; i < n; ++i) {
    if (!(b.z[i] > Traits<T>::normal_exp)) continue;
    const T root = std::exp(T(-0.5) * b.z[i]), q = root * root, rest = q + sides.clip;
    const T factor = std::pow(m, gamma), part = root * (root / rest);
    const T of_negatives = m > 0 ? factor * (gamma * (q / m) * -std::log(rest) + part) : T(0);
    const T of_positives = -(sides.gamma[1] + T(1)) * std::pow(q, sides.gamma[1] + T(1));
    b.gradient[i] = b.y[i] * of_positives + (T(1) - b.y[i]) * of_negatives;
  }
}

template <class T>
void evaluate(Kind kind, Power power_kind, bool soft, const Sides<T>& sides, const Block<T>& given, int64_t n,
              const Seen<T>& seen, const Exponentials<T>& x) {
  const auto loop = [&](const Block<T>& b) {
    switch (kind) {
      case Kind::asymmetric: return side_loop_for<Kind::asymmetric>(power_kind, soft, b, sides, x, n);
      case Kind::clipped: return side_loop_for<Kind::clipped>(power_kind, soft, b, sides, x, n);
      case Kind::scores: return side_loop_for<Kind::scores>(power_kind, soft, b, sides, x, n);
      case Kind::raised: return side_loop_for<Kind::raised>(power_kind, soft, b, sides, x, n);
      case Kind::quality: return side_loop_for<Kind::quality>(power_kind, soft, b, sides, x, n);
      case Kind::poly1: return side_loop_for<Kind::poly1>(power_kind, soft, b, sides, x, n);
    }
  };
  // Where p is clipped, the loss of a negative is at most -log(c).
  const auto growth = [&](const Block<T>& b, int64_t i) {
    const bool scored = kind == Kind::scores || kind == Kind::raised, weighted = kind == Kind::poly1;
    if (b.z[i] < 0) return b.y[i] > 0 && (!weighted || b.positive[i] > 0) ? T(1) : T(0);
    const bool by_weight = weighted || (scored && b.y[i] == 0);
    return kind != Kind::clipped && b.y[i] < 1 && (!by_weight || b.negative[i] > 0) ? T(1) : T(0);
  };
  evaluate(given, n, seen, x, loop, growth);
  if (kind == Kind::clipped && seen.extreme() && given.order > 0) clipped_slopes_where_q_is_subnormal(given, sides, n);
}

}  // namespace focal::FOCAL_ISA
