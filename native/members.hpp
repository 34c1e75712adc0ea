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

  // Into `target` what a label is the probability of, unless that is the label, and into `weight` what multiplies the
  // loss.
  void prepare(const T* __restrict label, const T* __restrict alpha, int64_t n, T* __restrict target,
               T* __restrict weight) const {
    if (call_.family == Family::penalty_reduced) {
      raise(label, n, call_.member.exponent, weight, [](T y) { return fast_two_sum(T(1), -y); });
      for (int64_t i = 0; i < n; ++i) {
        target[i] = label[i] == 1 ? T(1) : label[i] == label[i] ? T(0) : label[i];
        weight[i] = label[i] == 1 ? T(1) : weight[i];
      }
      return;
    }
    if (call_.family == Family::varifocal) {
      for (int64_t i = 0; i < n; ++i) weight[i] = label[i] == 0 ? alpha[i] : label[i];
      return;
    }
    raise(label, n, call_.gamma.value, target, [](T y) { return Pair<T>{y, T(0)}; });
    for (int64_t i = 0; i < n; ++i) {
      target[i] = label[i] == 0 ? T(0) : target[i];
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
