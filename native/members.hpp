// What a block of a member of the family needs beside its logits: targets and weights made of the labels, the two sides.
#pragma once

#include "sides.hpp"
#include "staging.hpp"

namespace focal::FOCAL_ISA {

// result = base(label)^g, with the power of the positives.
template <Power power_kind, class T, class Base>
void raise(const T* __restrict label, int64_t n, const Sides<T>& given, T* __restrict result, Base&& base) {
  const Sides<T> sides = given;
  for (int64_t i = 0; i < n; ++i) {
    const Pair<T> m = base(label[i]);
    result[i] = power_of_side<power_kind>(m, power_kind == Power::any ? -log_of(m.hi) : T(0), false, sides);
  }
}

template <class T, class Base>
void raise(const T* label, int64_t n, double exponent, T* result, Base&& base) {
  Sides<T> sides{};
  for (int side : {0, 1}) sides.set_gamma(side, exponent, false);
  switch (sides.choose_power(false)) {
    case Power::products: return raise<Power::products>(label, n, sides, result, base);
    case Power::with_root: return raise<Power::with_root>(label, n, sides, result, base);
    case Power::any: return raise<Power::any>(label, n, sides, result, base);
  }
}

// raised = label^g and rest = 1 - label^g, to the precision of a rounding: the factors of a product have their own
// 1 - x, and 1 - x y = (1 - x) + x (1 - y) adds what is positive.
template <Power power_kind, class T>
void raise_both(const T* __restrict label, int64_t n, const Sides<T>& given, T* __restrict raised,
                T* __restrict rest) {
  const Sides<T> sides = given;
  const auto kept = [](Bits<T> bits, T x) { return from_bits<T>(to_bits(x) & bits); };
  for (int64_t i = 0; i < n; ++i) {
    const T y = label[i], r = T(1) - y;
    if constexpr (power_kind == Power::any) {
      const T neg_log = y >= T(0.5) ? log1p(r / y, T(0)) : -log_of(y), exponent = sides.gamma[1] * neg_log;
      T series = T(1);  // of (1 - exp(-x)) / x
      for (int k = 16; k > 1; --k) series = T(1) - exponent * (T(1) / T(k)) * series;
      raised[i] = power_of_side<power_kind>(Pair<T>{y, T(0)}, neg_log, false, sides);
      rest[i] = exponent < T(0.5) ? exponent * series : T(1) - raised[i];
    } else {
      const T y2 = y * y, r2 = mul_add(y, r, r), r4 = mul_add(y2, r2, r2);
      T x = where(sides.bit[1][1], y), whole = kept(sides.bit[1][1], r);
      whole = mul_add(x, kept(sides.bit[1][2], r2), whole);
      x *= where(sides.bit[1][2], y2);
      whole = mul_add(x, kept(sides.bit[1][3], r4), whole);
      x *= where(sides.bit[1][3], y2 * y2);
      if constexpr (power_kind == Power::with_root) {
        const T root = std::sqrt(y);
        whole = mul_add(x, kept(sides.bit[1][0], r / (T(1) + root)), whole);
        x *= where(sides.bit[1][0], root);
      }
      raised[i] = x;
      rest[i] = whole;
    }
  }
}

template <class T>
void raise_both(const T* label, int64_t n, double exponent, T* raised, T* rest) {
  Sides<T> sides{};
  for (int side : {0, 1}) sides.set_gamma(side, exponent, false);
  switch (sides.choose_power(false)) {
    case Power::products: return raise_both<Power::products>(label, n, sides, raised, rest);
    case Power::with_root: return raise_both<Power::with_root>(label, n, sides, raised, rest);
    case Power::any: return raise_both<Power::any>(label, n, sides, raised, rest);
  }
}

// A call of a member, but for its arrays.
template <class T>
class MemberOf {
 public:
  explicit MemberOf(const Binary& call) : call_(call) {
    const bool scored = call.family == Family::varifocal || call.family == Family::matchability;
    const double gamma = call.gamma.value;
    const double of_negatives = call.family == Family::asymmetric ? call.member.exponent : gamma;
    const double of_positives = scored ? 0 : gamma;
    sides_.set_gamma(0, of_negatives, scored && call.member.detached);
    sides_.set_gamma(1, of_positives, false);
    sides_.clip = T(call.member.clip);
    sides_.epsilon = T(call.member.epsilon);
    power_ = sides_.choose_power(kind() == Kind::clipped);
  }

  // Those with an element of their own; the others are the focal loss of what `prepare` makes of labels and weights.
  bool has_sides() const { return call_.family >= Family::quality && call_.family != Family::penalty_reduced; }

  void evaluate(bool soft, const Block<T>& block, int64_t n, const Seen<T>& seen, const Exponentials<T>& x) const {
    focal::FOCAL_ISA::evaluate(kind(), power_, soft, sides_, block, n, seen, x);
  }

  // Into `target` what a label is the probability of, unless that is the label, into `rest` 1 less that for scores, and
  // into `weight` what multiplies the loss.
  void prepare(const T* __restrict label, const T* __restrict alpha, int64_t n, T* __restrict target,
               T* __restrict rest, T* __restrict weight) const {
    if (call_.family == Family::penalty_reduced) {
      raise(label, n, call_.member.exponent, weight, [](T y) { return fast_two_sum(T(1), -y); });
      for (int64_t i = 0; i < n; ++i) {
        target[i] = label[i] == 1 ? T(1) : label[i] == label[i] ? T(0) : label[i];
        weight[i] = label[i] == 1 ? T(1) : weight[i];
      }
      return;
    }
    if (call_.family == Family::varifocal) {
      for (int64_t i = 0; i < n; ++i) {
        weight[i] = label[i] == 0 ? alpha[i] : label[i];
        rest[i] = T(1) - label[i];
      }
      return;
    }
    raise_both(label, n, call_.gamma.value, target, rest);
    for (int64_t i = 0; i < n; ++i) {
      target[i] = label[i] == 0 ? T(0) : target[i];
      rest[i] = label[i] == 0 ? T(1) : rest[i];
      weight[i] = label[i] == 0 ? alpha[i] : T(1);
    }
  }

 private:
  const Binary& call_;
  Power power_;
  Sides<T> sides_{};

  Kind kind() const {
    switch (call_.family) {
      case Family::quality: return Kind::quality;
      case Family::asymmetric: return call_.member.clip > 0 ? Kind::clipped : Kind::asymmetric;
      case Family::poly1: return Kind::poly1;
      default: return Kind::scores;
    }
  }
};

}  // namespace focal::FOCAL_ISA
