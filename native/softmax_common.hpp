// Code that the softmax losses share. The margin of class t is s = v_t - log of the sum of exp(v_k) over the other
// classes k; given its margin, each example is one element of scalar.hpp with a hard label of 1.
#pragma once

#include "blocks.hpp"
#include "staging.hpp"

namespace focal::FOCAL_ISA {

constexpr int64_t tile_size = 256;  // examples

// exp(v - peak) for v <= peak, and 1 where both are the same infinity.
template <class T>
FOCAL_INLINE T shifted_exp(T v, T peak) {
  return exp_of_negative<true>(v == peak ? T(0) : peak - v).hi;
}

// v_t - peak - log(others). A sum of 0 means that the other classes have no probability: the margin is infinite and the
// loss 0. No finite logits give an infinite loss.
template <class T>
FOCAL_INLINE T margin_of(T own, T peak, T others) {
  constexpr T largest = Traits<T>::largest;
  const T margin = (own == peak ? T(0) : own - peak) - log_of(others);
  const bool finite = (std::fabs(own) <= largest) & (std::fabs(peak) <= largest) & (others > 0);
  const T clipped = margin > largest ? largest : margin < -largest ? -largest : margin;
  return finite ? clipped : margin;
}

// Numbers per example, for up to tile_size examples.
template <class T>
struct Examples {
  alignas(64) T own[tile_size], peak[tile_size], others[tile_size], rest[tile_size];
  alignas(64) T margin[tile_size], ones[tile_size], gamma[tile_size], weight[tile_size], upstream[tile_size];
  alignas(64) T u[tile_size], error[tile_size], finite[tile_size];
  alignas(64) T value[tile_size], first[tile_size], second[tile_size];
  int64_t stride;  // from one class to the next in a tile
  int32_t label[tile_size], top[tile_size];  // label: the true class, `ignored`, `invalid`, or the number of classes of
                                             // this shard if the class is in another one
  int64_t index[tile_size];                  // the true class among those of all shards
  static constexpr int32_t ignored = -1, invalid = -2;
};

// The position of an example in a call.
struct Place {
  int64_t outer, inner;
};

inline Place place_of(const Softmax& call, int64_t position) { return {position / call.inner, position % call.inner}; }

template <class T>
void load_labels(const Softmax& call, int64_t begin, int64_t n, Examples<T>& x, Outcome& outcome) {
  const int64_t all = call.all_classes > 0 ? call.all_classes : call.classes;
  typed(call.labels, call.label_dtype, [&](const auto* labels) {
    for (int64_t i = 0; i < n; ++i) {
      const Place at = place_of(call, begin + i);
      const auto raw = widen(labels[at.outer * call.label_strides[0] + at.inner * call.label_strides[2]]);
      const double label = double(raw);
      const bool inside = label >= 0 && label < double(all);
      if (call.has_ignored && label == double(call.ignored)) {
        x.label[i] = Examples<T>::ignored;
      } else if (inside && label == double(int64_t(inside ? label : 0))) {
        x.index[i] = int64_t(raw);
        const int64_t local = x.index[i] - call.first_class;
        x.label[i] = int32_t(local >= 0 && local < call.classes ? local : call.classes);
        ++outcome.count;
      } else {
        x.label[i] = Examples<T>::invalid;
        ++outcome.count;
        if (outcome.first_bad < 0) outcome.first_bad = begin + i;
      }
    }
  });
}

// Gamma of each example, where it is an operand.
template <class T>
void load_gamma(const Softmax& call, int64_t begin, int64_t n, Examples<T>& x) {
  load(call.example_gamma, Shape{2, {call.outer, call.inner}}, begin, n, x.gamma, true);
  for (int64_t i = 0; i < n; ++i) x.gamma[i] = bounded(x.gamma[i]);
}

template <class T>
void load_parameters(const Softmax& call, int64_t begin, int64_t n, Examples<T>& x) {
  const Shape shape{2, {call.outer, call.inner}};
  const T* upstream = load(call.upstream, shape, begin, n, x.upstream, true);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = x.label[i] < 0 ? 0 : x.index[i];
    x.gamma[i] = bounded(T(call.gammas == 0 ? 1 : call.gamma[call.gammas == 1 ? 0 : label]));
    x.weight[i] = T(call.weights == 0 ? 1 : call.weight[call.weights == 1 ? 0 : label]);
    x.ones[i] = T(1);
    x.upstream[i] = upstream[i];
  }
  if (call.gammas == 0) load_gamma(call, begin, n, x);
}

// f and its derivatives up to `order` of n margins that have weight 1.
template <class T>
void focal_of_margins(int two_gamma, int order, T keep_negative_term, int64_t n, const T* margin, Examples<T>& x, T* value,
                      T* first, T* second) {
  const Block<T> block{margin, x.ones, x.gamma, nullptr, nullptr, {1, 1}, {1, 1}, value, first, second, order,
                       keep_negative_term};
  const Exponentials<T> e{x.u, x.error, x.finite};
  evaluate(two_gamma, Labels::hard, block, n, exponentials<false>(block, n, Ahead{}, e), e);
}

inline int power_of(const Softmax& call) {
  Operand gamma = call.example_gamma;
  if (call.gammas == 1) gamma.value = call.gamma[0];
  else if (call.gammas > 1) gamma.data = call.gamma;
  return power_of(gamma);
}

template <class T>
void put_values(const Softmax& call, int64_t begin, int64_t n, const T* values) {
  if (call.value == nullptr) return;
  const DType dtype = result_dtype(call.dtype, call.values_at_least_float32);
  if (dtype == dtype_of<T>()) std::memcpy(static_cast<T*>(call.value) + begin, values, n * sizeof(T));
  else store(call.value, dtype, begin, n, values);
}

// n examples side by side: class k of example i is line(k)[i].
template <class T>
struct Tile {
  const T* data;
  int64_t stride;
  const T* line(int64_t k) const { return data + k * stride; }
};

// Calls function(i, count, offset, k, end) for stretches of `count` examples from i with one outer index, `offset` being
// their place in an array of these strides, and the classes k ... end: few at a time, so that the lines of a tile stay
// in the cache where the classes of an example lie together. There `count` is 1, which has a loop of its own.
template <class Function>
FOCAL_INLINE void tile_stretches(const Softmax& call, const int64_t* strides, int64_t begin, int64_t n, Function&& function) {
  constexpr int64_t classes_together = 64;
  for (int64_t k = 0; k < call.classes; k += classes_together) {
    const int64_t end = call.classes - k < classes_together ? call.classes : k + classes_together;
    Place at = place_of(call, begin);
    for (int64_t i = 0; i < n; at = {at.outer + 1, 0}) {
      const int64_t count = call.inner - at.inner < n - i ? call.inner - at.inner : n - i;
      function(i, count, at.outer * strides[0] + at.inner * strides[2], k, end);
      i += count;
    }
  }
}

// The logits of examples side by side: in place if they are contiguous, else copied.
template <class T>
Tile<T> load_tile(const Softmax& call, const void* array, DType dtype, const int64_t* strides, int64_t begin, int64_t n,
                  T* buffer, int64_t stride) {
  const Place first = place_of(call, begin);
  if (dtype == dtype_of<T>() && (strides[2] == 1 || n == 1) && first.inner + n <= call.inner)
    return {static_cast<const T*>(array) + first.outer * strides[0] + first.inner * strides[2], strides[1]};
  typed(array, dtype, [&](const auto* data) {
    tile_stretches(call, strides, begin, n, [&](int64_t i, int64_t count, int64_t offset, int64_t k, int64_t end) {
      for (; count == 1 && k < end; ++k) buffer[k * stride + i] = T(widen(data[offset + k * strides[1]]));
      for (; k < end; ++k)
        for (int64_t j = 0; j < count; ++j)
          buffer[k * stride + i + j] = T(widen(data[offset + k * strides[1] + j * strides[2]]));
    });
  });
  return {buffer, stride};
}

template <class T>
void store_tile(const Softmax& call, void* array, int64_t begin, int64_t n, const T* __restrict tile, int64_t stride) {
  if (array == nullptr) return;
  const int64_t in_order[] = {call.classes * call.inner, call.inner, 1};
  const int64_t* const strides = array == call.logits ? call.strides : in_order;
  const auto write = [&](auto* __restrict result) {
    tile_stretches(call, strides, begin, n, [&](int64_t i, int64_t count, int64_t offset, int64_t k, int64_t end) {
      for (; count == 1 && k < end; ++k) put(tile[k * stride + i], result[offset + k * strides[1]]);
      for (; k < end; ++k)
        for (int64_t j = 0; j < count; ++j) put(tile[k * stride + i + j], result[offset + k * strides[1] + j]);
    });
  };
  const DType dtype = slope_dtype(call, call.dtype);
  if (dtype == dtype_of<T>()) return write(static_cast<T*>(array));
  if (dtype == DType::f16) return write(static_cast<Half*>(array));
  if (dtype == DType::bf16) return write(static_cast<BFloat*>(array));
  write(static_cast<float*>(array));
}

}  // namespace focal::FOCAL_ISA
