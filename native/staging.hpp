// Conversions between the caller's arrays, of any dtype and stride, and blocks of the type computed in.
#pragma once

#include "kernels.hpp"
#include "vector_math.hpp"

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace focal::FOCAL_ISA {

// Half precision is converted by its bits, so that every instruction set gives the same numbers and the loops
// vectorize.
struct Half {
  uint16_t bits;
};
struct BFloat {
  uint16_t bits;
};

FOCAL_INLINE float widen(Half h) {
  const uint32_t magnitude = uint32_t(h.bits & 0x7fff) << 13, sign = uint32_t(h.bits & 0x8000) << 16;
  // A subnormal half is its bits times 2^-24. They become the mantissa of 2^-14, which is then subtracted: a
  // subnormal float would be read as 0 on threads that flush those, as XLA's and TensorFlow's do.
  constexpr uint32_t rebias = 112u << 23, smallest = 113u << 23;  // the latter is 2^-14
  const uint32_t subnormal = to_bits(from_bits<float>(magnitude + smallest) - from_bits<float>(smallest));
  const uint32_t finite = magnitude < (1u << 23) ? subnormal : magnitude + rebias;
  return from_bits<float>((magnitude >= (0x7c00u << 13) ? magnitude | 0x7f800000u : finite) | sign);
}

FOCAL_INLINE float widen(BFloat b) { return from_bits<float>(uint32_t(b.bits) << 16); }

template <class S>
FOCAL_INLINE S widen(S x) {
  return x;
}

// Round to nearest, ties to even.
FOCAL_INLINE void narrow(float x, Half& result) {
  const uint32_t bits = to_bits(x), sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  // Subnormal halves are multiples of 2^-24: adding 0.5, whose unit in the last place that is, rounds to one.
  const uint32_t subnormal = to_bits(from_bits<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1)) >> 13;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t beyond = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  result.bits = uint16_t((magnitude >= 0x477ff000u ? beyond : finite) | sign);
}

FOCAL_INLINE void narrow(float x, BFloat& result) {
  const uint32_t bits = to_bits(x);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1)) >> 16;
  result.bits = uint16_t((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded);
}

FOCAL_INLINE void narrow(float x, float& result) { result = x; }

template <class T>
constexpr DType dtype_of() {
  return std::is_same_v<T, double> ? DType::f64 : DType::f32;
}

// Calls function(static_cast<const S*>(data)) for the type S of the dtype.
template <class Function>
FOCAL_INLINE void typed(const void* data, DType dtype, Function&& function) {
  switch (dtype) {
    // <tables: dtypes> Written by tools/tables.py; `make tables` writes it anew.
    case DType::f32: return function(static_cast<const float*>(data));
    case DType::f64: return function(static_cast<const double*>(data));
    case DType::f16: return function(static_cast<const Half*>(data));
    case DType::bf16: return function(static_cast<const BFloat*>(data));
    case DType::boolean:
    case DType::u8: return function(static_cast<const uint8_t*>(data));
    case DType::i8: return function(static_cast<const int8_t*>(data));
    case DType::i16: return function(static_cast<const int16_t*>(data));
    case DType::i32: return function(static_cast<const int32_t*>(data));
    case DType::i64: return function(static_cast<const int64_t*>(data));
    // </tables: dtypes>
  }
}

// Calls function(offset, stride, first, count) for each stretch of elements begin ... begin + n of an operand along
// the last axis of the shape.
template <class Function>
void stretches(const int64_t* strides, const Shape& shape, int64_t begin, int64_t n, Function&& function) {
  const int last = shape.rank - 1;
  int64_t index[max_rank], offset = 0;
  for (int64_t rest = begin, d = last; d >= 0; --d) {
    index[d] = rest % shape.sizes[d];
    rest /= shape.sizes[d];
    offset += index[d] * strides[d];
  }
  for (int64_t done = 0; done < n;) {
    const int64_t room = shape.sizes[last] - index[last], count = room < n - done ? room : n - done;
    function(offset, strides[last], done, count);
    done += count;
    offset += count * strides[last];
    index[last] += count;
    for (int d = last; d > 0 && index[d] == shape.sizes[d]; --d) {
      offset += strides[d - 1] - index[d] * strides[d];
      index[d] = 0;
      ++index[d - 1];
    }
  }
}

inline bool is_contiguous(const Operand& operand, const Shape& shape) {
  int64_t expected = 1;
  for (int d = shape.rank - 1; d >= 0; --d) {
    if (shape.sizes[d] != 1 && operand.strides[d] != expected) return false;
    expected *= shape.sizes[d];
  }
  return true;
}

// Converts contiguous halves by machine instructions, which are exact even if subnormal floats are flushed, and
// returns how many of the n it converted.
inline int64_t convert_halves(const Half* __restrict data, int64_t n, float* __restrict buffer) {
  int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(buffer + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + i))));
#else
  (void)data, (void)n, (void)buffer;
#endif
  return i;
}

// The way back, rounded to nearest, ties to even, to the numbers of `narrow`.
inline int64_t narrow_halves(const float* __restrict values, int64_t n, Half* __restrict result) {
  int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(result + i),
                     _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT));
#else
  (void)values, (void)n, (void)result;
#endif
  return i;
}

// Converts one stretch of numbers of type S to T. The loop without a stride is separate, so that it vectorizes.
template <class S, class T>
void convert(const S* __restrict data, int64_t stride, int64_t n, T* __restrict buffer) {
  int64_t done = 0;
  if constexpr (std::is_same_v<S, Half> && std::is_same_v<T, float>)
    if (stride == 1) done = convert_halves(data, n, buffer);
  if (stride == 1)
    for (int64_t i = done; i < n; ++i) buffer[i] = T(widen(data[i]));
  else
    for (int64_t i = 0; i < n; ++i) buffer[i] = T(widen(data[i * stride]));
}

// 0 or 1, computed in the type itself if it is a byte: a comparison and a conversion would make slower code.
template <class T, class S>
FOCAL_INLINE T hard_label(S x) {
  if constexpr (sizeof(S) > 1) return x > 0 ? T(1) : T(0);
  const S at_most_1 = x > 1 ? S(1) : x;
  return T(at_most_1 < 0 ? S(0) : at_most_1);
}

// Converts integer labels to 0 and 1, and returns whether all of them were 0 or 1.
template <class S, class T>
bool convert_hard(const S* __restrict data, int64_t stride, int64_t n, T* __restrict buffer) {
  if constexpr (std::is_integral_v<S>) {
    std::make_unsigned_t<S> seen = 0;
    if (stride == 1) {
      for (int64_t i = 0; i < n; ++i) seen |= std::make_unsigned_t<S>(data[i]);
      for (int64_t i = 0; i < n; ++i) buffer[i] = hard_label<T>(data[i]);
    } else {
      for (int64_t i = 0; i < n; ++i) {
        seen |= std::make_unsigned_t<S>(data[i * stride]);
        buffer[i] = hard_label<T>(data[i * stride]);
      }
    }
    return seen <= 1;
  }
  return false;
}

template <class T, class Convert>
void gather(const Operand& operand, const Shape& shape, int64_t begin, int64_t n, T* buffer, Convert&& convert) {
  typed(operand.data, operand.dtype, [&](const auto* data) {
    if (is_contiguous(operand, shape)) return convert(data + begin, 1, n, buffer);
    stretches(operand.strides, shape, begin, n, [&](int64_t offset, int64_t stride, int64_t first, int64_t count) {
      convert(data + offset, stride, count, buffer + first);
    });
  });
}

// The elements begin ... begin + n of an operand: in place, or converted into the buffer. A caller that will write
// to them asks for the buffer by `copy`.
template <class T>
const T* load(const Operand& operand, const Shape& shape, int64_t begin, int64_t n, T* buffer, bool copy) {
  if (operand.data == nullptr) {
    const T value = T(operand.value);
    for (int64_t i = 0; i < n; ++i) buffer[i] = value;
    return buffer;
  }
  if (!copy && operand.dtype == dtype_of<T>() && is_contiguous(operand, shape))
    return static_cast<const T*>(operand.data) + begin;
  gather(operand, shape, begin, n, buffer,
         [](const auto* data, int64_t stride, int64_t count, T* out) { convert(data, stride, count, out); });
  return buffer;
}

// Labels of an integer dtype as 0 and 1; the first that is neither is reported in the outcome.
template <class T>
const T* load_hard(const Operand& labels, const Shape& shape, int64_t begin, int64_t n, T* buffer, Outcome& outcome) {
  gather(labels, shape, begin, n, buffer, [&](const auto* data, int64_t stride, int64_t count, T* out) {
    const bool all = convert_hard(data, stride, count, out);
    for (int64_t i = 0; !all && outcome.first_bad < 0 && i < count; ++i)
      if (const double x = double(widen(data[i * stride])); x != 0 && x != 1)
        outcome.first_bad = begin + (out - buffer) + i;
  });
  return buffer;
}

template <class T, class S>
FOCAL_INLINE void put(T x, S& result) {
  if constexpr (std::is_same_v<T, S>) result = x;
  else narrow(float(x), result);
}

// Stores results whose dtype is not the one computed in.
template <class T>
void store(void* array, DType dtype, int64_t begin, int64_t n, const T* __restrict values) {
  if (array == nullptr) return;
  const auto write = [&](auto* __restrict result, int64_t done = 0) {
    for (int64_t i = done; i < n; ++i) narrow(float(values[i]), result[begin + i]);
  };
  if (dtype == DType::f16) {
    Half* const halves = static_cast<Half*>(array);
    if constexpr (std::is_same_v<T, float>) return write(halves, narrow_halves(values, n, halves + begin));
    return write(halves);
  }
  if (dtype == DType::bf16) return write(static_cast<BFloat*>(array));
  write(static_cast<float*>(array));
}

}  // namespace focal::FOCAL_ISA
