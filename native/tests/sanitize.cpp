// Calls the kernels of an instruction set so that every loop and every end of a loop is reached, on heap arrays of
// the exact size, and checks the results against plain formulas in double. The sanitizers see any access outside the
// arrays.
#include "fuzz.hpp"

namespace fuzz {
void members(const std::vector<int64_t>& shape, int threads, bool plain);  // sanitize_members.cpp
}

namespace {

using namespace fuzz;

// ---------------------------------------------------------------------------------------------------------------
// Binary
// ---------------------------------------------------------------------------------------------------------------

void binary(const std::vector<int64_t>& shape, int threads, bool plain) {
  const DType dtype = some_floating(), label_dtype = some_label();
  const bool p_t_loss = below(3) == 0, soft = !is_integer(label_dtype) && below(2), smooth = below(4) == 0;
  const bool bad = is_integer(label_dtype) && label_dtype != DType::boolean && below(4) == 0;
  const bool curved = below(2) && !(p_t_loss && (soft || smooth));
  const int64_t kind = below(4);
  const auto strides = [&] { return plain ? contiguous(shape) : some_strides(shape); };
  const Array z(dtype, shape, strides(), [&] { return some_logit(dtype, kind); });
  const Array y(label_dtype, shape, strides(), [&] {
    if (bad && below(30) == 0) return pick({2.0, 3.0, label_dtype == DType::u8 ? 255.0 : -1.0});
    return soft ? double(below(9)) / 8 : double(below(2));
  });
  const auto weight = [] { return pick({1.0, 0.0, 0.25, 3.0}); };
  const Parameter gamma = some_parameter(shape, some_gamma), positive = some_parameter(shape, weight),
                  negative = some_parameter(shape, weight), upstream = some_parameter(shape, weight);
  focal::Binary call;
  call.family = p_t_loss ? focal::Family::p_t_loss : focal::Family::expected_loss;
  call.shape.rank = int(shape.size());
  for (size_t d = 0; d < shape.size(); ++d) call.shape.sizes[d] = shape[d];
  const int64_t n = call.shape.size();
  call.logits = z.operand();
  call.labels = y.operand();
  call.gamma = gamma.operand();
  call.positive = positive.operand();
  call.negative = negative.operand();
  call.upstream = upstream.operand();
  call.smoothing = smooth ? 0.125 : 0;
  const bool slope = curved || below(3);
  const Array value(dtype, {n}, {1}, [] { return 7.0; }), gradient(dtype, {n}, {1}, [] { return 7.0; }),
      hessian(dtype, {n}, {1}, [] { return 7.0; });
  call.value = below(5) ? value.data : nullptr;
  call.gradient = slope ? gradient.data : nullptr;
  call.hessian = curved ? hessian.data : nullptr;
  const focal::Outcome outcome = focal::run(call, threads);
  const double smoothing = call.smoothing;
  int64_t first_bad = -1;
  std::vector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t rest = i, d = int64_t(shape.size()) - 1; d >= 0; rest /= shape[size_t(d)], --d)
      index[size_t(d)] = rest % shape[size_t(d)];
    const double x = z.at(index), g = gamma.at(index), up = upstream.at(index);
    double label = y.at(index);
    if (is_integer(label_dtype) && label != 0 && label != 1) {
      if (first_bad < 0) first_bad = i;
      label = label > 0 ? 1 : 0;
    }
    label = (1 - smoothing) * label + smoothing / 2;
    const double a = positive.at(index) * label, b = negative.at(index) * (1 - label);
    const Exact f = focal_of(x, g), h = focal_of(-x, g);
    double exact, first, second = 0, scale, first_scale, second_scale = 0;
    if (p_t_loss && label > 0 && label < 1) {
      const double e = std::exp(-std::fabs(x)), far = 1 / (1 + e), near_0 = e / (1 + e);
      const double p = x >= 0 ? far : near_0, q = x >= 0 ? near_0 : far;
      const Exact entropy = focal_of(x, 0), other = focal_of(-x, 0);
      const double m = label * q + (1 - label) * p, B = label * entropy.value + (1 - label) * other.value;
      exact = scale = a + b == 0 ? 0 : (a + b) * power(m, g) * B;
      const double one = (1 - label) * p - label * q, two = std::isinf(B) ? 0 : g * (1 - 2 * label) * p * q / m * B;
      first = (a + b) * power(m, g) * (one + two);
      first_scale = (a + b) * power(m, g) * ((1 - label) * p + label * q + std::fabs(two));
    } else {
      exact = scale = (a == 0 ? 0 : a * f.value) + (b == 0 ? 0 : b * h.value);
      first = a * f.first - b * h.first;
      first_scale = std::fabs(a * f.first) + std::fabs(b * h.first);
      second = a * f.second + b * h.second;
      second_scale = a * f.second_scale + b * h.second_scale;
    }
    const double factor = 2 * (8 + 2 * g * std::fmin(std::fabs(x), 200));
    const auto where = [&] {
      return "binary, dtype " + std::to_string(int(dtype)) + ", labels " + std::to_string(int(label_dtype)) + ", n " +
             std::to_string(n) + ", i " + std::to_string(i) + ", z " + std::to_string(x) + ", y " +
             std::to_string(label) + ", gamma " + std::to_string(g) + ", p_t_loss " + std::to_string(p_t_loss) + ": " +
             std::to_string(value.at(i)) + " " + std::to_string(exact) + ", " + std::to_string(gradient.at(i)) + " " +
             std::to_string(first * up) + ", " + std::to_string(hessian.at(i)) + " " + std::to_string(second * up);
    };
    if (call.value) expect(near(value.at(i), exact, scale, factor, dtype), "value", where());
    if (slope) expect(near(gradient.at(i), first * up, first_scale * up, factor, dtype), "gradient", where());
    if (curved) expect(near(hessian.at(i), second * up, second_scale * up, factor, dtype), "Hessian", where());
  }
  expect(outcome.first_bad == first_bad, "first bad label", std::to_string(outcome.first_bad));
}

// ---------------------------------------------------------------------------------------------------------------
// Softmax
// ---------------------------------------------------------------------------------------------------------------

void softmax(int64_t outer, int64_t classes, int64_t inner, int threads, bool plain) {
  const DType dtype = some_floating();
  const bool sparse = below(3) != 0, curved = sparse && below(3) == 0, slope = curved || below(4), bad = below(3) == 0;
  const DType label_dtype = sparse ? pick({DType::u8, DType::i8, DType::i16, DType::i32, DType::i64, DType::f32})
                                   : some_floating();
  const std::vector<int64_t> shape = {outer, classes, inner}, single = {outer, 1, inner}, examples = {outer, inner};
  const int64_t kind = below(2);
  const auto strides = [&](const std::vector<int64_t>& s) { return plain ? contiguous(s) : some_strides(s); };
  const Array v(dtype, shape, strides(shape), [&] { return some_logit(dtype, kind) / 2; });
  const Array y(label_dtype, sparse ? single : shape, strides(sparse ? single : shape), [&]() -> double {
    if (!sparse) return double(below(5)) / 4;
    if (bad && below(8) == 0) {
      if (label_dtype == DType::f32) return pick({double(NAN), 1e30, -1e30, 0.5, -1.0, double(INFINITY)});
      if (label_dtype == DType::i64) return pick({9e18, -9e18, double(classes), 4294967296.0, -1.0});
      if (label_dtype == DType::i32) return pick({2147483647.0, -2147483648.0, double(classes), -1.0, -2.0});
      return label_dtype == DType::u8 ? 255.0 : pick({-1.0, -2.0, 127.0});
    }
    return double(below(classes));
  });
  std::vector<double> gamma(below(3) ? 1 : size_t(classes)), weight(below(3) ? 1 : size_t(classes));
  for (double& g : gamma) g = some_gamma();
  const bool of_examples = below(4) == 0;
  const Array example_gamma(some_floating(), examples, strides(examples), some_gamma);
  for (double& w : weight) w = pick({1.0, 0.25, 0.0, 3.0});
  const Parameter upstream = some_parameter(examples, [] { return pick({1.0, 0.25, 3.0}); });
  focal::Softmax call;
  call.outer = outer, call.classes = classes, call.inner = inner;
  call.logits = v.data, call.dtype = dtype, call.labels = y.data, call.label_dtype = label_dtype;
  for (int d = 0; d < 3; ++d) call.strides[d] = v.strides[size_t(d)], call.label_strides[d] = y.strides[size_t(d)];
  call.sparse = sparse;
  call.has_ignored = sparse && below(2);
  call.ignored = label_dtype == DType::u8 ? 255 : -1;
  call.smoothing = !curved && below(3) == 0 ? 0.125 : 0;
  call.gamma = gamma.data(), call.gammas = of_examples ? 0 : int64_t(gamma.size());
  if (of_examples) call.example_gamma = example_gamma.operand();
  call.weight = weight.data(), call.weights = int64_t(weight.size());
  call.upstream = upstream.operand();
  const int64_t count = outer * inner, size = count * classes;
  const Array value(dtype, {count}, {1}, [] { return 7.0; }), gradient(dtype, {size}, {1}, [] { return 7.0; }),
      hessian(dtype, {size}, {1}, [] { return 7.0; });
  call.value = below(5) ? value.data : nullptr;
  call.gradient = slope ? gradient.data : nullptr;
  call.hessian = curved ? hessian.data : nullptr;
  const focal::Outcome outcome = focal::run(call, threads);

  const auto where = [&](int64_t i, int64_t k, double got, double exact) {
    return "softmax " + std::to_string(outer) + " " + std::to_string(classes) + " " + std::to_string(inner) + ", dtype " +
           std::to_string(int(dtype)) + ", labels " + std::to_string(int(label_dtype)) + ", sparse " +
           std::to_string(sparse) + ", example " + std::to_string(i) + ", class " + std::to_string(k) + ": " +
           std::to_string(got) + " " + std::to_string(exact);
  };
  int64_t first_bad = -1, seen = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t o = i / inner, r = i % inner;
    std::vector<double> x(static_cast<size_t>(classes)), weights(x.size()), slopes(x.size()), scales(x.size()),
        seconds(x.size()), second_scales(x.size());
    double peak = -INFINITY, low = INFINITY;
    for (int64_t k = 0; k < classes; ++k) {
      x[size_t(k)] = v.at({o, k, r});
      peak = std::fmax(peak, x[size_t(k)]);
      low = std::fmin(low, x[size_t(k)]);
    }
    const double label = sparse ? y.at({o, 0, r}) : 0, up = upstream.at({o, r});
    const bool ignored = call.has_ignored && label == double(call.ignored);
    const bool invalid = sparse && !ignored && !(label >= 0 && label < double(classes) && label == std::floor(label));
    seen += !ignored;
    if (invalid && first_bad < 0) first_bad = i;
    for (int64_t t = 0; t < classes; ++t) {
      const double hard = sparse ? double(label == double(t)) : y.at({o, t, r});
      weights[size_t(t)] = ignored || invalid ? 0 : (1 - call.smoothing) * hard + call.smoothing / double(classes);
    }
    double exact = 0, largest_gamma = 0;
    for (int64_t t = 0; t < classes; ++t) {
      const double w = weights[size_t(t)] * weight[weight.size() == 1 ? 0 : size_t(t)];
      const double g = of_examples ? example_gamma.at({o, r}) : gamma[gamma.size() == 1 ? 0 : size_t(t)];
      largest_gamma = std::fmax(largest_gamma, g);
      if (w == 0) continue;
      double top = -INFINITY, others = 0;
      for (int64_t k = 0; k < classes; ++k)
        if (k != t) top = std::fmax(top, x[size_t(k)]);
      for (int64_t k = 0; k < classes; ++k)
        if (k != t) others += std::exp(x[size_t(k)] - top);
      const Exact f = focal_of(classes == 1 ? INFINITY : x[size_t(t)] - top - std::log(others), g);
      exact += w * f.value;
      slopes[size_t(t)] += w * f.first;
      scales[size_t(t)] += w * std::fabs(f.first);
      seconds[size_t(t)] += w * f.second;
      second_scales[size_t(t)] += w * f.second_scale;
      for (int64_t k = 0; k < classes; ++k) {
        if (k == t) continue;
        double rest = 0;
        for (int64_t j = 0; curved && j < classes; ++j)
          if (j != t && j != k) rest += std::exp(x[size_t(j)] - top);
        const double probability = std::exp(x[size_t(k)] - top) / others, q = rest / others;
        slopes[size_t(k)] -= w * f.first * probability;
        scales[size_t(k)] += w * std::fabs(f.first) * probability;
        seconds[size_t(k)] += w * (f.second * probability * probability - f.first * probability * q);
        second_scales[size_t(k)] += w * (f.second_scale * probability * probability + std::fabs(f.first) * probability * q);
      }
    }
    const double factor = 2 * (8 + double(classes) + 2 * (largest_gamma + 1) * std::fmin(peak - low, 300));
    if (invalid) exact = NAN;
    if (call.value)
      expect(near(value.at(i), exact, exact, factor, dtype), "value", where(i, -1, value.at(i), exact));
    for (int64_t k = 0; k < classes; ++k) {
      const int64_t at = (o * classes + k) * inner + r;
      if (slope)
        expect(near(gradient.at(at), up * slopes[size_t(k)], up * scales[size_t(k)], factor, dtype), "gradient",
               where(i, k, gradient.at(at), up * slopes[size_t(k)]));
      if (curved)
        expect(near(hessian.at(at), up * seconds[size_t(k)], up * second_scales[size_t(k)], factor, dtype), "Hessian",
               where(i, k, hessian.at(at), up * seconds[size_t(k)]));
    }
  }
  expect(outcome.first_bad == first_bad, "first bad label", where(-1, -1, double(outcome.first_bad), double(first_bad)));
  expect(outcome.count == seen, "count", where(-1, -1, double(outcome.count), double(seen)));
}

void all(int rounds) {
  for (int round = 0; round < rounds; ++round) {
    for (int64_t n = 0; n <= 70; ++n) {
      binary({n}, 1, round % 2 == 0);
      binary({n, 3}, 1, round % 2 == 0);
      members({n}, 1, round % 2 == 0);
      members({n, 3}, 1, round % 2 == 0);
    }
    for (int64_t n : {1023, 1024, 1025, 2047, 2048, 2049, 3100}) {
      binary({n}, 1, round % 2 == 0);
      binary({5, n / 5, 1}, 1, false);
      members({n}, 1, round % 2 == 0);
    }
    for (int64_t classes : {1, 2, 3, 20, 47, 48, 100})
      for (int64_t n : {0, 1, 2, 7, 15, 16, 17, 33, 70}) {
        softmax(n, classes, 1, 1, round % 2 == 0);
        softmax(3, classes, n, 1, round % 2 == 0);
      }
    for (int64_t n : {255, 256, 257, 513}) {
      softmax(n, 3, 1, 1, round % 2 == 0);
      softmax(2, 20, n, 1, round % 2 == 0);
    }
  }
  binary({(1 << 18) + 5}, 3, true);
  members({(1 << 18) + 5}, 3, true);
  softmax(1 << 15, 10, 1, 3, true);
}

}  // namespace

int main(int count, char** arguments) {
  const int rounds = count > 1 ? std::atoi(arguments[1]) : 10;
  for (const std::string& name : focal::instruction_sets()) {
    focal::select(name);
    const int64_t before = checks, wrong = failures;
    all(rounds);
    std::printf("%s: %lld results, %lld wrong\n", name.c_str(), (long long)(checks - before),
                (long long)(failures - wrong));
  }
  return failures == 0 && checks > 0 ? 0 : 1;
}
