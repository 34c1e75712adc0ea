// The members of the family against plain formulas in double: see sanitize.cpp.
#include "fuzz.hpp"

namespace fuzz {

namespace {

using focal::Family;

struct Sides {
  double p, q, loss, other;  // L, l
};

Sides sides_of(double z) {
  const double a = std::fabs(z), u = std::exp(-a), far = 1 / (1 + u), near = u / (1 + u), l = std::log1p(u);
  return z >= 0 ? Sides{far, near, l, a + l} : Sides{near, far, a + l, l};
}

// M B and its derivative in the logit, and the sums of the magnitudes of their terms.
struct Result {
  double value = 0, slope = 0, value_scale = 0, slope_scale = 0;

  Result& add(double weight, const Result& x) {
    value += weight * x.value;
    slope += weight * x.slope;
    value_scale += std::fabs(weight) * x.value_scale;
    slope_scale += std::fabs(weight) * x.slope_scale;
    return *this;
  }
};

// q^g (L + e q) of the side on which the logit is s; the slope is that in the logit of the positives.
Result one_side(double s, double g, double epsilon, bool positive, bool detached = false) {
  const Sides x = sides_of(s);
  const double factor = power(x.q, g), B = x.loss + epsilon * x.q, size = x.loss + std::fabs(epsilon) * x.q;
  const double steep = detached ? 0 : g * x.p;
  const double slope = factor * (steep * B + x.q * (1 + epsilon * x.p));
  return {factor * B, positive ? -slope : slope, factor * size,
          factor * (steep * size + x.q * (1 + std::fabs(epsilon) * x.p))};
}

// m^g (-log(1 - m)) with m = max(p - c, 0). Near the threshold an error of p is that of m.
Result clipped(double z, double g, double c) {
  const Sides x = sides_of(z);
  const double m = x.p - c;
  if (!(m > 0)) return {};
  const double B = m < 0.5 ? -std::log1p(-m) : -std::log(x.q + c), factor = power(m, g), worth = 1 + (2 + g) * (x.p / m - 1);
  const double slope = factor * x.p * x.q * (g * B / m + 1 / (x.q + c));
  return {factor * B, slope, worth * factor * B, worth * slope};
}

Result quality(double z, double y, double g) {
  const Sides x = sides_of(z);
  const double d = y * x.q - (1 - y) * x.p, m = std::fabs(d), B = y * x.loss + (1 - y) * x.other;
  const double factor = power(m, g), steep = m == 0 || g == 0 ? 0 : g * factor / m * x.p * x.q * B;
  const double worth = m == 0 ? 1e300 : 1 + (2 + g) * ((y * x.q + (1 - y) * x.p) / m - 1);
  return {factor * B, -factor * d - (d < 0 ? -steep : steep), worth * factor * B, worth * (factor * m + steep)};
}

Result entropy(double z, double t) {
  const Sides x = sides_of(z);
  const double value = t * x.loss + (1 - t) * x.other;
  return {value, (1 - t) * x.p - t * x.q, value, (1 - t) * x.p + t * x.q};
}

Result exact_of(const focal::Binary& call, double z, double y, double positive, double negative) {
  const double g = call.gamma.value;
  const focal::Member& member = call.member;
  switch (call.family) {
    case Family::quality: return quality(z, y, g);
    case Family::asymmetric:
      return Result().add(y, one_side(z, g, 0, true)).add(1 - y, clipped(z, member.exponent, member.clip));
    case Family::poly1:
      return Result()
          .add(positive * y, one_side(z, g, member.epsilon, true))
          .add(negative * (1 - y), one_side(-z, g, member.epsilon, false));
    case Family::varifocal:
      return y == 0 ? Result().add(negative, one_side(-z, g, 0, false, member.detached)) : Result().add(y, entropy(z, y));
    case Family::matchability:
      return y == 0 ? Result().add(negative, one_side(-z, g, 0, false, member.detached)) : entropy(z, power(y, g));
    default:
      return y == 1 ? one_side(z, g, 0, true) : Result().add(power(1 - y, member.exponent), one_side(-z, g, 0, false));
  }
}

}  // namespace

void members(const std::vector<int64_t>& shape, int threads, bool plain) {
  const DType dtype = some_floating(), label_dtype = some_label();
  const bool soft = !is_integer(label_dtype) && below(2);
  const auto strides = [&] { return plain ? contiguous(shape) : some_strides(shape); };
  const Array z(dtype, shape, strides(), [&] { return below(9) ? some_logit(dtype, 0) : pick({-80.0, 80.0, 0.0}); });
  const Array y(label_dtype, shape, strides(), [&] { return soft ? double(below(9)) / 8 : double(below(2)); });
  const auto weight = [] { return pick({1.0, 0.0, 0.25, 3.0}); };
  const Parameter positive = some_parameter(shape, weight), negative = some_parameter(shape, weight),
                  upstream = some_parameter(shape, weight);
  focal::Binary call;
  call.family = pick({Family::quality, Family::asymmetric, Family::poly1, Family::varifocal, Family::matchability,
                      Family::penalty_reduced});
  call.member = {some_gamma(), pick({0.0, 0.05, 0.5}), pick({1.0, -1.0, 0.5}), below(2) == 0};
  call.shape.rank = int(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) call.shape.sizes[d] = shape[d];
  const int64_t n = call.shape.size();
  call.logits = z.operand();
  call.labels = y.operand();
  call.gamma.value = some_gamma();
  call.positive = positive.operand();
  call.negative = negative.operand();
  call.upstream = upstream.operand();
  const bool slope = below(3) != 0;
  const Array value(dtype, {n}, {1}, [] { return 7.0; }), gradient(dtype, {n}, {1}, [] { return 7.0; });
  call.value = below(5) ? value.data : nullptr;
  call.gradient = slope ? gradient.data : nullptr;
  const focal::Outcome outcome = focal::run(call, threads);
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t rest = i, d = int64_t(shape.size()) - 1; d >= 0; rest /= shape[size_t(d)], --d)
      index[size_t(d)] = rest % shape[size_t(d)];
    const double x = z.at(index), label = y.at(index), up = upstream.at(index);
    const Result exact = exact_of(call, x, label, positive.at(index), negative.at(index));
    const double factor = 2 * (8 + 2 * std::fmax(call.gamma.value, call.member.exponent) * std::fabs(x));
    const auto where = [&] {
      return "family " + std::to_string(int(call.family)) + ", dtype " + std::to_string(int(dtype)) + ", n " +
             std::to_string(n) + ", i " + std::to_string(i) + ", z " + std::to_string(x) + ", y " +
             std::to_string(label) + ", gamma " + std::to_string(call.gamma.value) + ", exponent " +
             std::to_string(call.member.exponent) + ", clip " + std::to_string(call.member.clip) + ": " +
             std::to_string(value.at(i)) + " " + std::to_string(exact.value) + ", " + std::to_string(gradient.at(i)) +
             " " + std::to_string(exact.slope * up);
    };
    if (call.value) expect(near(value.at(i), exact.value, exact.value_scale, factor, dtype), "value", where());
    if (slope) expect(near(gradient.at(i), exact.slope * up, exact.slope_scale * up, factor, dtype), "gradient", where());
  }
  expect(outcome.first_bad == -1, "first bad label", std::to_string(outcome.first_bad));
}

}  // namespace fuzz
