// Calls the kernels of an instruction set so that every loop and every end of a loop is reached, on heap arrays of
// the exact size, and checks the results against plain formulas in double. The sanitizers see any access outside the
// arrays.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../dispatch.hpp"

namespace {

using focal::DType;

std::mt19937_64 generator(1);
int64_t failures = 0, checks = 0;

int64_t below(int64_t n) { return int64_t(generator() % uint64_t(n)); }

template <class X>
X pick(std::initializer_list<X> values) {
  return values.begin()[below(int64_t(values.size()))];
}

int64_t size_of(DType dtype) {
  constexpr int64_t sizes[] = {4, 8, 2, 2, 1, 1, 1, 2, 4, 8};
  return sizes[int(dtype)];
}

bool is_integer(DType dtype) { return dtype >= DType::boolean; }

template <class X>
void put_as(void* at, double x) {
  const X value = X(x);
  std::memcpy(at, &value, sizeof value);
}

template <class X>
double get_as(const void* at) {
  X value;
  std::memcpy(&value, at, sizeof value);
  return double(value);
}

void put(void* at, DType dtype, double x) {
  switch (dtype) {
    case DType::f32: return put_as<float>(at, x);
    case DType::f64: return put_as<double>(at, x);
    case DType::f16: return put_as<_Float16>(at, x);
    case DType::bf16: {  // truncated: these inputs need no rounding
      uint32_t bits;
      const float value = float(x);
      std::memcpy(&bits, &value, sizeof bits);
      const uint16_t high = uint16_t(bits >> 16);
      std::memcpy(at, &high, sizeof high);
      return;
    }
    case DType::boolean:
    case DType::u8: return put_as<uint8_t>(at, x);
    case DType::i8: return put_as<int8_t>(at, x);
    case DType::i16: return put_as<int16_t>(at, x);
    case DType::i32: return put_as<int32_t>(at, x);
    case DType::i64: return put_as<int64_t>(at, x);
  }
}

double get(const void* at, DType dtype) {
  switch (dtype) {
    case DType::f32: return get_as<float>(at);
    case DType::f64: return get_as<double>(at);
    case DType::f16: return double(get_as<_Float16>(at));
    case DType::bf16: {
      const uint32_t bits = uint32_t(get_as<uint16_t>(at)) << 16;
      return get_as<float>(&bits);
    }
    case DType::boolean:
    case DType::u8: return get_as<uint8_t>(at);
    case DType::i8: return get_as<int8_t>(at);
    case DType::i16: return get_as<int16_t>(at);
    case DType::i32: return get_as<int32_t>(at);
    case DType::i64: return get_as<int64_t>(at);
  }
  return 0;
}

// An array that begins `shift` elements into its memory and ends where the memory ends.
struct Array {
  DType dtype;
  std::vector<int64_t> strides;
  std::unique_ptr<char[]> memory;
  char* data;

  template <class Fill>
  Array(DType type, const std::vector<int64_t>& shape, std::vector<int64_t> steps, Fill&& fill)
      : dtype(type), strides(std::move(steps)) {
    int64_t low = 0, high = 0;
    bool empty = false;
    for (size_t d = 0; d < shape.size(); ++d) {
      const int64_t reach = (shape[d] - 1) * strides[d];
      empty |= shape[d] == 0;
      (reach < 0 ? low : high) += reach;
    }
    const int64_t shift = below(4), count = empty ? 0 : high - low + 1, size = size_of(dtype);
    memory.reset(new char[size_t((shift + count) * size)]);
    data = memory.get() + (shift - (empty ? 0 : low)) * size;
    for (int64_t k = 0; k < count; ++k) put(memory.get() + (shift + k) * size, dtype, fill());
  }

  double at(int64_t offset) const { return get(data + offset * size_of(dtype), dtype); }
  double at(const std::vector<int64_t>& index) const {
    int64_t offset = 0;
    for (size_t d = 0; d < index.size(); ++d) offset += index[d] * strides[d];
    return at(offset);
  }
  focal::Operand operand() const {
    focal::Operand result;
    result.data = data;
    result.dtype = dtype;
    for (size_t d = 0; d < strides.size(); ++d) result.strides[d] = strides[d];
    return result;
  }
};

std::vector<int64_t> contiguous(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = shape.size() - 1; d > 0; --d) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

std::vector<int64_t> transposed(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = 0; d + 1 < shape.size(); ++d) strides[d + 1] = strides[d] * shape[d];
  return strides;
}

std::vector<int64_t> some_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides = below(3) == 0 ? transposed(shape) : contiguous(shape);
  const int64_t factor = pick<int64_t>({1, 1, 1, 2, -1});
  for (int64_t& s : strides) s *= factor;
  if (below(4) == 0) strides[size_t(below(int64_t(shape.size())))] = 0;
  return strides;
}

// ---------------------------------------------------------------------------------------------------------------
// Formulas
// ---------------------------------------------------------------------------------------------------------------

struct Exact {
  double value = 0, first = 0, second = 0, second_scale = 0;
};

Exact focal_of(double s, double g) {
  if (std::isinf(s)) return {s < 0 ? s * -1 : 0, s < 0 ? -1.0 : 0.0, 0, 0};
  const double a = std::fabs(s), u = std::exp(-a), far = 1 / (1 + u), near = u / (1 + u), l = std::log1p(u);
  const double p = s >= 0 ? far : near, q = s >= 0 ? near : far, loss = s >= 0 ? l : a + l;
  const double log_q = s >= 0 ? -a - l : -l, power = std::exp(g * log_q);
  const double one = (2 * g + 1) * p * q, two = g * p * loss * g * p, three = g * p * loss * q;
  return {power * loss, -power * (g * p * loss + q), power * (one + two - three), power * (one + two + three)};
}

double epsilon(DType dtype) { return dtype == DType::f64 ? 0x1p-52 : 0x1p-23; }

// `factor` is 8 + 2 gamma |z|, or its equal for a softmax; `scale` is the sum of the magnitudes of the terms.
bool near(double got, double exact, double scale, double factor, DType dtype) {
  if (std::isnan(exact)) return std::isnan(got);
  if (std::isinf(exact)) return got == exact;
  const double tiny = dtype == DType::f64 ? 1e-300 : 1e-35;
  double bound = factor * epsilon(dtype) * scale + tiny;
  double largest = dtype == DType::f64 ? std::numeric_limits<double>::max() : std::numeric_limits<float>::max();
  if (dtype == DType::f16) bound += std::fabs(exact) * 0x1p-11 + 0x1p-24, largest = 65504;
  if (dtype == DType::bf16) bound += std::fabs(exact) * 0x1p-8;
  if (std::isinf(got)) return std::fabs(exact) > largest * 0.99 && got * exact > 0;
  return std::fabs(got - exact) <= bound;
}

void expect(bool right, const char* what, const std::string& where) {
  ++checks;
  if (right) return;
  if (failures++ < 20) std::printf("WRONG %s: %s\n", what, where.c_str());
}

double some_logit(DType dtype, int64_t kind) {
  const double ordinary = (double(below(2001)) - 1000) / 64;
  if (kind == 0 || below(20) != 0) return ordinary;
  return kind == 1 ? pick({-120.0, 120.0, 300.0, -1000.0, dtype == DType::f16 ? 6e4 : 3e38})
                   : pick({double(INFINITY), -double(INFINITY), 60000.0});
}

double some_gamma() { return pick({0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 0.25, 3.25, 7.0}); }

DType some_floating() { return pick({DType::f32, DType::f32, DType::f64, DType::f16, DType::bf16}); }
DType some_label() { return DType(below(10)); }

// ---------------------------------------------------------------------------------------------------------------
// Binary
// ---------------------------------------------------------------------------------------------------------------

struct Parameter {
  double number = 1;
  std::unique_ptr<Array> array;
  double at(const std::vector<int64_t>& index) const { return array ? array->at(index) : number; }
  focal::Operand operand() const {
    if (array) return array->operand();
    focal::Operand result;
    result.value = number;
    return result;
  }
};

template <class Fill>
Parameter some_parameter(const std::vector<int64_t>& shape, Fill&& fill) {
  Parameter result;
  result.number = fill();
  if (below(4) == 0)
    result.array = std::make_unique<Array>(below(2) ? DType::f64 : some_floating(), shape, some_strides(shape), fill);
  return result;
}

double power(double m, double g) { return g == 0 ? 1 : std::pow(m, g); }

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
  for (double& w : weight) w = pick({1.0, 0.25, 0.0, 3.0});
  const Parameter upstream = some_parameter(examples, [] { return pick({1.0, 0.25, 3.0}); });
  focal::Softmax call;
  call.outer = outer, call.classes = classes, call.inner = inner;
  call.logits = v.data, call.dtype = dtype, call.labels = y.data, call.label_dtype = label_dtype;
  for (int d = 0; d < 3; ++d) call.strides[d] = v.strides[size_t(d)], call.label_strides[d] = y.strides[size_t(d)];
  call.sparse = sparse;
  call.has_ignored = sparse && below(2);
  call.ignored = label_dtype == DType::u8 ? 255 : -1;
  call.smoothing = !sparse && below(3) == 0 ? 0.125 : 0;
  call.gamma = gamma.data(), call.gammas = int64_t(gamma.size());
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
    for (int64_t t = 0; t < classes; ++t)
      weights[size_t(t)] = sparse ? double(!ignored && !invalid && label == double(t))
                                  : (1 - call.smoothing) * y.at({o, t, r}) + call.smoothing / double(classes);
    double exact = 0, largest_gamma = 0;
    for (int64_t t = 0; t < classes; ++t) {
      const double w = weights[size_t(t)] * weight[weight.size() == 1 ? 0 : size_t(t)];
      const double g = gamma[gamma.size() == 1 ? 0 : size_t(t)];
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
    }
    for (int64_t n : {1023, 1024, 1025, 2047, 2048, 2049, 3100}) {
      binary({n}, 1, round % 2 == 0);
      binary({5, n / 5, 1}, 1, false);
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
  return failures == 0 ? 0 : 1;
}
