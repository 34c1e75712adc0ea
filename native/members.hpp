// A member of the family as its blocks see it: the two sides, and the targets and weights made of heatmaps.
#pragma once

#include "sides.hpp"
#include "staging.hpp"

namespace focal::FOCAL_ISA {

// result = (1 - label)^g.
template <Power power_kind, class T>
void powers_of_rest(const T* __restrict label, int64_t n, const Sides<T>& given, T* __restrict result) {
  const Sides<T> sides = given;
  for (int64_t i = 0; i < n; ++i) {
    const Pair<T> rest = fast_two_sum(T(1), -label[i]);
    result[i] = power_of_side<power_kind>(rest, power_kind == Power::any ? -log_of(rest.hi) : T(0), false, sides);
  }
}

template <class T>
void powers_of_rest(const T* label, int64_t n, double exponent, T* result) {
  Sides<T> sides{};
  for (int side : {0, 1}) sides.set_gamma(side, exponent, false);
  switch (sides.choose_power(false)) {
    case Power::products: return powers_of_rest<Power::products>(label, n, sides, result);
    case Power::with_root: return powers_of_rest<Power::with_root>(label, n, sides, result);
    case Power::any: return powers_of_rest<Power::any>(label, n, sides, result);
  }
}

// A call of a member, but for its arrays.
template <class T>
class MemberOf {
 public:
  explicit MemberOf(const Binary& call) : call_(call) {
    const bool raised = call.family == Family::matchability, scored = raised || call.family == Family::varifocal;
    const double gamma = call.gamma.value;
    const double of_negatives = call.family == Family::asymmetric ? call.member.exponent : gamma;
    sides_.set_gamma(0, of_negatives, scored && call.member.detached);
    sides_.set_gamma(1, scored && !raised ? 0 : gamma, raised);
    sides_.clip = T(call.member.clip);
    sides_.epsilon = T(call.member.epsilon);
    power_ = sides_.choose_power(kind() == Kind::clipped);
  }

  // Those with an element of their own; the others are the focal loss of what `of_heatmap` makes of labels.
  bool has_sides() const { return call_.family >= Family::quality && call_.family != Family::penalty_reduced; }

  void evaluate(bool soft, const Block<T>& block, int64_t n, const Seen<T>& seen, const Exponentials<T>& x) const {
    focal::FOCAL_ISA::evaluate(kind(), power_, soft, sides_, block, n, seen, x);
  }

  // Into `target` the 1 of a peak and the 0 of its surroundings, into `weight` what multiplies the loss.
  void of_heatmap(const T* __restrict label, int64_t n, T* __restrict target, T* __restrict weight) const {
    powers_of_rest(label, n, call_.member.exponent, weight);
    for (int64_t i = 0; i < n; ++i) {
      target[i] = label[i] == 1 ? T(1) : label[i] == label[i] ? T(0) : label[i];
      weight[i] = label[i] == 1 ? T(1) : weight[i];
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
      case Family::matchability: return Kind::raised;
      default: return Kind::scores;
    }
  }
};

}  // namespace focal::FOCAL_ISA
