// Softmax losses of class indices.
//
// Two layouts. A *tile* holds some examples side by side, one line of them per class, and the loops run along the
// examples: for images, whose classes lie far apart, and for few classes. *Rows* run along the classes of one example:
// for many classes that lie together.
#pragma once

#include "softmax_common.hpp"

namespace focal::FOCAL_ISA {

// Weighted value and derivatives in the margin of n examples. An ignored example gives 0, an invalid class NaN and no
// gradient.
template <class T>
void finish(const Softmax& call, int two_gamma, int64_t begin, int64_t n, Examples<T>& x, Outcome& outcome) {
  const int order = call.hessian != nullptr ? 2 : call.gradient != nullptr ? 1 : 0;
  focal_of_margins(two_gamma, order, T(call.majorizer ? 0 : 1), n, x.margin, x, x.value, x.first, x.second);
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool dead = x.label[i] < 0;
    const T absent = x.label[i] == Examples<T>::invalid ? T(NAN) : T(0);
    const T value = x.value[i] == T(INFINITY) && x.weight[i] == 0 ? T(0) : x.weight[i] * x.value[i];
    x.value[i] = dead ? absent : value;
    x.first[i] = dead || order < 1 ? T(0) : x.weight[i] * x.first[i] * x.upstream[i];
    x.second[i] = dead || order < 2 ? T(0) : x.weight[i] * x.second[i] * x.upstream[i];
    sum += x.value[i];
  }
  outcome.sum += double(sum);
  put_values(call, begin, n, x.value);
}

// The three numbers of each example, from `whole` or into `parts`.
template <class T>
void load_whole(const Softmax& call, int64_t begin, int64_t n, Examples<T>& x) {
  const int64_t examples = call.outer * call.inner;
  typed(call.whole, result_dtype(call.dtype, true), [&](const auto* whole) {
    for (int64_t i = 0; i < n; ++i) {
      x.own[i] = T(widen(whole[begin + i]));
      x.peak[i] = T(widen(whole[examples + begin + i]));
      x.others[i] = T(widen(whole[2 * examples + begin + i]));
    }
  });
}

template <class T>
void store_parts(const Softmax& call, int64_t begin, int64_t n, const Examples<T>& x) {
  const int64_t examples = call.outer * call.inner;
  const DType dtype = result_dtype(call.dtype, true);
  const T* numbers[] = {x.own, x.peak, x.others};
  for (int64_t k = 0; k < 3; ++k) {
    const int64_t at = k * examples + begin;
    if (dtype == dtype_of<T>()) std::memcpy(static_cast<T*>(call.parts) + at, numbers[k], n * sizeof(T));
    else store(call.parts, dtype, at, n, numbers[k]);
  }
}

// The true logit and the largest of the others.
template <class T>
void peaks_of_tile(const Softmax& call, const Tile<T>& logits, int64_t n, Examples<T>& x) {
  T *__restrict own = x.own, *__restrict peak = x.peak;
  const int32_t* __restrict label = x.label;
  for (int64_t i = 0; i < n; ++i) {
    own[i] = label[i] == call.classes ? T(-INFINITY) : T(0);
    peak[i] = T(-INFINITY);
  }
  for (int64_t k = 0; k < call.classes; ++k) {
    const T* __restrict v = logits.line(k);
    for (int64_t i = 0; i < n; ++i) {
      const T v_i = v[i], candidate = label[i] == k ? T(-INFINITY) : v_i;
      own[i] = label[i] == k ? v_i : own[i];
      peak[i] = candidate > peak[i] ? candidate : peak[i];
    }
  }
}

// exp of every class but the true one, and their sum.
template <class T>
void exps_of_tile(const Softmax& call, const Tile<T>& logits, int64_t n, T* e, T* __restrict others, Examples<T>& x) {
  const T* __restrict peak = x.peak;
  const int32_t* __restrict label = x.label;
  for (int64_t i = 0; i < n; ++i) others[i] = 0;
  for (int64_t k = 0; k < call.classes; ++k) {
    const T* __restrict v = logits.line(k);
    T* __restrict line = e + k * x.stride;
    for (int64_t i = 0; i < n; ++i) {
      const T exp_i = shifted_exp(v[i], peak[i]);
      line[i] = label[i] == k ? T(0) : exp_i;
      others[i] += line[i];
    }
  }
}

// For the Hessian: the sum of all but the largest exponential, and which class that is.
template <class T>
void largest_of_tile(const Softmax& call, int64_t n, const T* e, Examples<T>& x) {
  for (int64_t i = 0; i < n; ++i) {
    x.top[i] = -1;
    x.rest[i] = 0;
    for (int64_t k = 0; k < call.classes; ++k) {
      const bool is_top = x.top[i] < 0 && e[k * x.stride + i] == T(1);
      x.top[i] = is_top ? int32_t(k) : x.top[i];
      x.rest[i] += is_top ? T(0) : e[k * x.stride + i];
    }
  }
}

// The diagonal of the Hessian in the logits: second on the true class, P (second P - first (1 - P)) on the others,
// 1 - P as a sum without the class itself.
template <class T>
void hessian_of_tile(const Softmax& call, int64_t n, const T* e, T* result, Examples<T>& x) {
  largest_of_tile(call, n, e, x);
  for (int64_t k = 0; k < call.classes; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const T exp_i = e[k * x.stride + i], probability = exp_i / x.others[i];
      const T rest = (x.top[i] == k ? x.rest[i] : x.rest[i] - exp_i + (x.top[i] < 0 ? T(0) : T(1))) / x.others[i];
      const T off = x.others[i] == 0 ? T(0) : probability * (x.second[i] * probability - x.first[i] * rest);
      result[k * x.stride + i] = x.label[i] == k ? x.second[i] : x.label[i] < 0 ? T(0) : off;
    }
}

template <class T>
void gradient_of_tile(const Softmax& call, int64_t n, const T* e, T* result, Examples<T>& x) {
  T* __restrict ratio = x.rest;
  for (int64_t i = 0; i < n; ++i) ratio[i] = x.others[i] == 0 ? T(0) : -x.first[i] / x.others[i];
  const T* __restrict first = x.first;
  const int32_t* __restrict label = x.label;
  for (int64_t k = 0; k < call.classes; ++k) {
    const T* line = e + k * x.stride;
    T* out = result + k * x.stride;
    for (int64_t i = 0; i < n; ++i) {
      const T off = first[i] == 0 ? T(0) : line[i] * ratio[i];  // ignored logits may be NaN
      out[i] = label[i] == k ? first[i] : off;
    }
  }
}

template <class T>
void sparse_tile(const Softmax& call, int two_gamma, int64_t begin, int64_t n, T* buffer, T* e, T* second,
                 Examples<T>& x, Outcome& outcome) {
  load_labels(call, begin, n, x, outcome);
  load_parameters(call, begin, n, x);
  if (call.whole != nullptr) load_whole(call, begin, n, x);
  if (call.whole == nullptr || call.gradient != nullptr) {
    const Tile<T> logits = load_tile(call, call.logits, call.dtype, call.strides, begin, n, buffer, x.stride);
    if (call.whole == nullptr) peaks_of_tile(call, logits, n, x);
    exps_of_tile(call, logits, n, e, call.whole == nullptr ? x.others : x.rest, x);
  }
  if (call.parts != nullptr) return store_parts(call, begin, n, x);
  for (int64_t i = 0; i < n; ++i) x.margin[i] = margin_of(x.own[i], x.peak[i], x.others[i]);
  finish(call, two_gamma, begin, n, x, outcome);
  if (call.hessian != nullptr) {
    hessian_of_tile(call, n, e, second, x);
    store_tile(call, call.hessian, begin, n, second, x.stride);
  }
  if (call.gradient != nullptr) {
    gradient_of_tile(call, n, e, e, x);
    store_tile(call, call.gradient, begin, n, e, x.stride);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Rows
// ---------------------------------------------------------------------------------------------------------------

template <class T>
T max_of(const T* __restrict v, int64_t n, T peak) {
#pragma omp simd reduction(max : peak)
  for (int64_t k = 0; k < n; ++k) peak = v[k] > peak ? v[k] : peak;
  return peak;
}

// `e` may be `v`: a gradient may overwrite its logits.
template <class T>
T exps_of(const T* v, int64_t n, T peak, T* e) {
  FOCAL_INDEPENDENT
  for (int64_t k = 0; k < n; ++k) e[k] = shifted_exp(v[k], peak);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < n; ++k) sum += e[k];
  return sum;
}

// Few examples at a time: their exponentials, stored in the place of the gradient, are then still in the cache after
// one loop of scalar.hpp over all their margins.
template <class T>
void sparse_rows(const Softmax& call, int two_gamma, int64_t begin, int64_t n, T* buffer, T* scratch, Examples<T>& x,
                 Outcome& outcome) {
  load_labels(call, begin, n, x, outcome);
  load_parameters(call, begin, n, x);
  const int64_t classes = call.classes;
  const DType slopes = slope_dtype(call, call.dtype);
  const bool direct = call.gradient != nullptr && slopes == dtype_of<T>();
  const int64_t stride = call.is_in_place() ? call.strides[0] : classes, step = direct ? stride : classes;
  T* const e = direct ? static_cast<T*>(call.gradient) + begin * stride : scratch;
  const bool is_shard = call.whole != nullptr;
  if (is_shard) load_whole(call, begin, n, x);
  for (int64_t i = 0; i < n && (!is_shard || call.gradient != nullptr); ++i) {
    const Shape row{1, {classes}};
    const int64_t offset = (begin + i) * call.strides[0] * item_size(call.dtype);
    const Operand operand{static_cast<const char*>(call.logits) + offset, call.dtype, 0, {1}};
    const T* v = load(operand, row, 0, classes, buffer, false);
    const int64_t label = x.label[i] < 0 ? classes : x.label[i], after = label + 1 < classes ? label + 1 : classes;
    const T peak = is_shard ? x.peak[i] : max_of(v + after, classes - after, max_of(v, label, T(-INFINITY)));
    T* line = call.gradient != nullptr ? e + i * step : e;
    const T others = exps_of(v, label, peak, line) + exps_of(v + after, classes - after, peak, line + after);
    if (is_shard) continue;
    x.others[i] = others;
    x.own[i] = label < classes ? v[label] : x.label[i] < 0 ? T(0) : T(-INFINITY);
    x.peak[i] = peak;
  }
  if (call.parts != nullptr) return store_parts(call, begin, n, x);
  for (int64_t i = 0; i < n; ++i) x.margin[i] = margin_of(x.own[i], x.peak[i], x.others[i]);
  finish(call, two_gamma, begin, n, x, outcome);
  if (call.gradient == nullptr) return;
  for (int64_t i = 0; i < n; ++i) {
    T* __restrict line = e + i * step;
    const T first = x.first[i], ratio = x.others[i] == 0 ? T(0) : -first / x.others[i];
    const bool is_here = x.label[i] >= 0 && x.label[i] < classes;
    if (is_here) line[x.label[i]] = T(0);
    for (int64_t k = 0; k < classes; ++k) line[k] = first == 0 ? T(0) : line[k] * ratio;
    if (is_here) line[x.label[i]] = first;
    if (!direct) store(call.gradient, slopes, (begin + i) * stride, classes, line);
  }
}

}  // namespace focal::FOCAL_ISA
