// Softmax losses of a label per class: the sum over the classes of weight * label * f(margin of the class). Smoothed
// class indices are such labels, made where they are needed.
#pragma once

#include <algorithm>

#include "softmax_common.hpp"

namespace focal::FOCAL_ISA {

// The exponential of each class, and for each class the sum of the others. The total minus the class would cancel where
// the class is most of it. Only the largest can be, so its sum is formed without it.
template <class T>
void others_of_tile(const Softmax& call, const Tile<T>& logits, int64_t n, T* e, T* others, T* margin, Examples<T>& x) {
  T *__restrict peak = x.peak, *__restrict rest = x.rest;
  int32_t* __restrict top = x.top;
  for (int64_t i = 0; i < n; ++i) {
    peak[i] = T(-INFINITY);
    rest[i] = 0;
    top[i] = 0;
  }
  for (int64_t k = 0; k < call.classes; ++k) {
    const T* __restrict v = logits.line(k);
    for (int64_t i = 0; i < n; ++i) {
      top[i] = v[i] > peak[i] ? int32_t(k) : top[i];
      peak[i] = v[i] > peak[i] ? v[i] : peak[i];
    }
  }
  for (int64_t k = 0; k < call.classes; ++k) {
    const T* __restrict v = logits.line(k);
    T* __restrict line = e + k * x.stride;
    for (int64_t i = 0; i < n; ++i) {
      line[i] = shifted_exp(v[i], peak[i]);
      rest[i] += top[i] == k ? T(0) : line[i];
    }
  }
  for (int64_t k = 0; k < call.classes; ++k) {
    const T* __restrict v = logits.line(k);
    T *__restrict o = others + k * x.stride, *__restrict s = margin + k * x.stride;
    const T* __restrict line = e + k * x.stride;
    for (int64_t i = 0; i < n; ++i) {
      const T sum = top[i] == k ? rest[i] : (rest[i] - line[i]) + T(1);
      s[i] = margin_of(v[i], peak[i], sum);
      o[i] = sum > 0 ? sum : T(1);
    }
  }
}

// The gradient g_j - e_j * (sum over t != j of g_t / others_t), again without the largest; `slope` holds the g.
template <class T>
void vjp_of_tile(const Softmax& call, int64_t n, const T* e, const T* others, T* slope, Examples<T>& x) {
  T *__restrict rest = x.rest, *__restrict at_top = x.own;
  for (int64_t i = 0; i < n; ++i) rest[i] = at_top[i] = 0;
  const T* __restrict upstream = x.upstream;
  const int32_t* __restrict top = x.top;
  for (int64_t k = 0; k < call.classes; ++k) {
    const T *__restrict g = slope + k * x.stride, *__restrict o = others + k * x.stride;
    for (int64_t i = 0; i < n; ++i) {
      const T ratio = g[i] / o[i];
      rest[i] += top[i] == k ? T(0) : ratio;
      at_top[i] = top[i] == k ? ratio : at_top[i];
    }
  }
  for (int64_t k = 0; k < call.classes; ++k) {
    T* __restrict g = slope + k * x.stride;
    const T *__restrict o = others + k * x.stride, *__restrict line = e + k * x.stride;
    for (int64_t i = 0; i < n; ++i) {
      const T ratio = g[i] / o[i];
      const T sum = top[i] == k ? rest[i] : (rest[i] - ratio) + at_top[i];
      g[i] = upstream[i] * (g[i] - line[i] * sum);
    }
  }
}

template <class T>
struct DenseTile {
  T *buffer, *labels, *e, *others, *margin, *value, *slope;
};

// The labels of class k: a line of an array, or 1 where it is the true class.
template <class T>
const T* labels_of_class(const Softmax& call, const Tile<T>& labels, int64_t k, int64_t n, const Examples<T>& x, T* line) {
  if (!call.sparse) return labels.line(k);
  const int32_t* __restrict label = x.label;
  for (int64_t i = 0; i < n; ++i) line[i] = label[i] == k ? T(1) : T(0);
  return line;
}

// The value of each example, and of each class its weighted slope in the margin. Returns 0 if every label is in [0, 1].
//
// The margins of several classes lie together if the tile is full, and one loop of scalar.hpp runs over all of them.
template <class T>
Bits<T> terms_of_tile(const Softmax& call, int two_gamma, int64_t begin, int64_t n, const Tile<T>& labels,
                      const DenseTile<T>& t, Examples<T>& x) {
  const LabelSmoothing<T> smooth(call.smoothing, double(call.classes));
  const int64_t together = n == x.stride ? tile_size / n : 1;
  Bits<T> outside = 0;
  if (call.gammas == 0) load_gamma(call, begin, n, x);
  for (int64_t k = 1; call.gammas == 0 && k < together; ++k) std::copy_n(x.gamma, n, x.gamma + k * n);
  for (int64_t first = 0; first < call.classes; first += together) {
    const int64_t count = call.classes - first < together ? call.classes - first : together;
    if (two_gamma == any_power && call.gammas > 0)
      for (int64_t k = 0; k < count; ++k) {
        const T gamma = bounded(T(call.gamma[call.gammas == 1 ? 0 : first + k]));
        for (int64_t i = 0; i < n; ++i) x.gamma[k * n + i] = gamma;
      }
    const int64_t at = first * x.stride;
    focal_of_margins(two_gamma, 1, T(1), count * n, t.margin + at, x, t.value, t.slope + at, x.second);
    for (int64_t k = first; k < first + count; ++k) {
      const T weight = T(call.weight[call.weights == 1 ? 0 : k]);
      const T *__restrict y = labels_of_class(call, labels, k, n, x, t.labels), *__restrict f = t.value + (k - first) * n;
      T *__restrict slope = t.slope + k * x.stride, *__restrict value = x.value;
      for (int64_t i = 0; i < n; ++i) {
        outside |= hardness_of(y[i]) <= 0 ? Bits<T>(0) : Bits<T>(1);
        const T label = call.smoothing != 0 ? smooth(y[i]) : y[i];
        const bool absent = (label == 0) | (weight == 0);
        // The weight last: its product with the label may be too small for a number.
        value[i] += absent && f[i] == T(INFINITY) ? T(0) : weight * (label * f[i]);
        slope[i] = weight * (label * slope[i]);
      }
    }
  }
  return outside;
}

// As in `finish` of sparse.hpp: an ignored example gives 0, an invalid class NaN, and neither has a gradient.
template <class T>
void finish_indices(const Softmax& call, int64_t n, Examples<T>& x, T* gradient) {
  for (int64_t i = 0; i < n; ++i) {
    if (x.label[i] >= 0) continue;
    x.value[i] = x.label[i] == Examples<T>::invalid ? T(NAN) : T(0);
    for (int64_t k = 0; gradient != nullptr && k < call.classes; ++k) gradient[k * x.stride + i] = 0;
  }
}

template <class T>
void dense_tile(const Softmax& call, int two_gamma, int64_t begin, int64_t n, const DenseTile<T>& t, Examples<T>& x,
                Outcome& outcome) {
  const Shape shape{2, {call.outer, call.inner}};
  const T* upstream = load(call.upstream, shape, begin, n, x.upstream, true);
  others_of_tile(call, load_tile(call, call.logits, call.dtype, call.strides, begin, n, t.buffer, x.stride), n,
                 t.e, t.others, t.margin, x);
  Tile<T> labels{};
  if (call.sparse) load_labels(call, begin, n, x, outcome);
  else labels = load_tile(call, call.labels, call.label_dtype, call.label_strides, begin, n, t.labels, x.stride);
  for (int64_t i = 0; i < n; ++i) {
    x.upstream[i] = upstream[i];
    x.value[i] = 0;
  }
  std::fill_n(x.ones, tile_size, T(1));
  const Bits<T> outside = terms_of_tile(call, two_gamma, begin, n, labels, t, x);
  for (int64_t i = 0; outside != 0 && outcome.first_bad < 0 && i < n; ++i)
    for (int64_t k = 0; k < call.classes; ++k)
      if (first_outside(labels.line(k) + i, 1) == 0) outcome.first_bad = begin + i;
  if (call.gradient != nullptr) vjp_of_tile(call, n, t.e, t.others, t.slope, x);
  if (call.sparse) finish_indices(call, n, x, call.gradient != nullptr ? t.slope : nullptr);
  else outcome.count += n;
  for (int64_t i = 0; i < n; ++i) outcome.sum += double(x.value[i]);
  put_values(call, begin, n, x.value);
  store_tile(call, call.gradient, begin, n, t.slope, x.stride);
}

}  // namespace focal::FOCAL_ISA
