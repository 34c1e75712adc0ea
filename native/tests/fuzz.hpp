// Arrays on the heap of the exact size, random calls and plain formulas in double, for the programs that try the kernels.
#pragma once

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

namespace fuzz {

using focal::DType;

#if defined(__aarch64__)
using Half = __fp16;  // GCC 12 has no _Float16 there
#else
using Half = _Float16;
#endif

inline std::mt19937_64 generator(1);
inline int64_t failures = 0, checks = 0;

inline int64_t below(int64_t n) { return int64_t(generator() % uint64_t(n)); }

template <class X>
X pick(std::initializer_list<X> values) {
  return values.begin()[below(int64_t(values.size()))];
}

inline int64_t size_of(DType dtype) {
  constexpr int64_t sizes[] = {4, 8, 2, 2, 1, 1, 1, 2, 4, 8};
  return sizes[int(dtype)];
}

inline bool is_integer(DType dtype) { return dtype >= DType::boolean; }

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

inline void put(void* at, DType dtype, double x) {
  switch (dtype) {
    case DType::f32: return put_as<float>(at, x);
    case DType::f64: return put_as<double>(at, x);
    case DType::f16: return put_as<Half>(at, x);
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

inline double get(const void* at, DType dtype) {
  switch (dtype) {
    case DType::f32: return get_as<float>(at);
    case DType::f64: return get_as<double>(at);
    case DType::f16: return double(get_as<Half>(at));
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

inline std::vector<int64_t> contiguous(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = shape.size() - 1; d > 0; --d) strides[d - 1] = strides[d] * shape[d];
  return strides;
}

inline std::vector<int64_t> transposed(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t d = 0; d + 1 < shape.size(); ++d) strides[d + 1] = strides[d] * shape[d];
  return strides;
}

inline std::vector<int64_t> some_strides(const std::vector<int64_t>& shape) {
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

inline Exact focal_of(double s, double g) {
  if (std::isinf(s)) return {s < 0 ? s * -1 : 0, s < 0 ? -1.0 : 0.0, 0, 0};
  const double a = std::fabs(s), u = std::exp(-a), far = 1 / (1 + u), near = u / (1 + u), l = std::log1p(u);
  const double p = s >= 0 ? far : near, q = s >= 0 ? near : far, loss = s >= 0 ? l : a + l;
  const double log_q = s >= 0 ? -a - l : -l, power = std::exp(g * log_q);
  const double one = (2 * g + 1) * p * q, two = g * p * loss * g * p, three = g * p * loss * q;
  return {power * loss, -power * (g * p * loss + q), power * (one + two - three), power * (one + two + three)};
}

inline double epsilon(DType dtype) { return dtype == DType::f64 ? 0x1p-52 : 0x1p-23; }

// `factor` is 8 + 2 gamma |z|, or its equal for a softmax; `scale` is the sum of the magnitudes of the terms.
inline bool near(double got, double exact, double scale, double factor, DType dtype) {
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

inline void expect(bool right, const char* what, const std::string& where) {
  ++checks;
  if (right) return;
  if (failures++ < 20) std::printf("WRONG %s: %s\n", what, where.c_str());
}

inline double some_logit(DType dtype, int64_t kind) {
  const double ordinary = (double(below(2001)) - 1000) / 64;
  if (kind == 0 || below(20) != 0) return ordinary;
  return kind == 1 ? pick({-120.0, 120.0, 300.0, -1000.0, dtype == DType::f16 ? 6e4 : 3e38})
                   : pick({double(INFINITY), -double(INFINITY), 60000.0});
}

inline double some_gamma() { return pick({0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 0.25, 3.25, 7.0}); }

inline DType some_floating() { return pick({DType::f32, DType::f32, DType::f64, DType::f16, DType::bf16}); }
inline DType some_label() { return DType(below(10)); }

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

inline double power(double m, double g) { return g == 0 ? 1 : std::pow(m, g); }

}  // namespace fuzz
