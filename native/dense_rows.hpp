// Softmax losses of a label per class, along the classes of one example: for many classes on the last axis, and a gamma
// whose power is a product.
//
// At most one class, the largest, has a probability above 1/2. Only its margin takes the care of softmax_common.hpp. Of
// any other, with e = exp(v - peak) and the sum of all e,
//
//     p = e / sum,   q = (sum - e) / sum,   L = log(sum) + (peak - v)
//
// lose nothing to cancellation, and one logarithm serves the whole row.
#pragma once

#include <memory>
#include <utility>

#include "dense.hpp"
#include "sparse.hpp"

namespace focal::FOCAL_ISA {

// q^(k/2) for a number k of `powers`: a root for an odd one, times products.
template <bool with_root, class T>
struct PowerOfRow {
  bool one, two, four;  // whether q, q^2 and q^4 are factors

  explicit PowerOfRow(int two_gamma) : one(two_gamma & 2), two(two_gamma & 4), four(two_gamma & 8) {}
  FOCAL_INLINE T operator()(T q) const {
    const T q2 = q * q, low = one ? q : T(1), middle = two ? q2 : T(1), high = four ? q2 * q2 : T(1);
    return (with_root ? std::sqrt(q) * low : low) * (middle * high);
  }
};

// The numbers that all classes of a row have in common.
template <class T>
struct RowOf {
  T peak, rest, log_sum, inverse_sum, gamma;  // rest: the sum of e over all classes but the largest
  LabelSmoothing<T> smooth;
};

// The memory for a row: the slopes of its classes, and the slopes divided by the sum of the other e.
template <class T>
struct RowBuffers {
  T *logits, *labels, *weight, *slope, *ratio;
};

template <class T>
struct RowSums {
  T value, ratio;
  Bits<T> outside;  // 0 if every label is in [0, 1]
};

// The sums of a stretch of classes without the largest.
template <bool with_root, class T>
RowSums<T> terms_of_row(const RowOf<T>& given, int two_gamma, const T* __restrict v, const T* __restrict e,
                        const T* __restrict y, const T* __restrict weight, int64_t n, T* __restrict slope,
                        T* __restrict ratio) {
  constexpr T largest = Traits<T>::largest;
  const RowOf<T> row = given;
  const PowerOfRow<with_root, T> power(two_gamma);
  const bool finite_peak = std::fabs(row.peak) <= largest;
  T sum = 0, ratios = 0;
  Bits<T> outside = 0;
#pragma omp simd reduction(+ : sum, ratios) reduction(| : outside)
  for (int64_t k = 0; k < n; ++k) {
    outside |= hardness_of(y[k]) <= 0 ? Bits<T>(0) : Bits<T>(1);
    const T label = row.smooth(y[k]), others = (row.rest - e[k]) + T(1);
    const T p = e[k] * row.inverse_sum, q = others * row.inverse_sum, factor = power(q);
    // An infinite difference of finite logits counts as the largest number, and no product is 0 times infinity.
    const T below = v[k] == row.peak ? T(0) : row.peak - v[k], bounded_below = below > largest ? largest : below;
    const T loss = row.log_sum + bounded_below;
    const bool finite = finite_peak & (std::fabs(v[k]) <= largest);
    const T value = finite ? factor * loss : factor * (row.log_sum + below);
    const bool absent = (label == 0) | (weight[k] == 0);
    sum += (absent & (value == T(INFINITY))) ? T(0) : weight[k] * (label * value);
    slope[k] = weight[k] * (label * (factor * mul_add(-row.gamma, p * loss, -q)));
    ratio[k] = slope[k] / others;
    ratios += ratio[k];
  }
  return {sum, ratios, outside};
}

template <class T>
int64_t first_equal(const T* __restrict v, int64_t n, T peak) {
  int32_t first = int32_t(n);
#pragma omp simd reduction(min : first)
  for (int32_t k = 0; k < int32_t(n); ++k) first = v[k] == peak && k < first ? k : first;
  return first < n ? first : 0;  // 0 where all are NaN
}

template <class T>
const T* row_of(const Softmax& call, const void* array, DType dtype, const int64_t* strides, int64_t example, T* buffer) {
  const int64_t offset = example * strides[0] * item_size(dtype);
  const Operand operand{static_cast<const char*>(array) + offset, dtype, 0, {strides[1]}};
  return load(operand, Shape{1, {call.classes}}, 0, call.classes, buffer, false);
}

// The exponentials of n examples into `e`, and the margins of their largest classes.
template <class T>
void peaks_of_rows(const Softmax& call, int64_t begin, int64_t n, T* e, T* buffer, Examples<T>& x) {
  for (int64_t i = 0; i < n; ++i) {
    const T* v = row_of(call, call.logits, call.dtype, call.strides, begin + i, buffer);
    const T peak = max_of(v, call.classes, T(-INFINITY));
    const int64_t top = first_equal(v, call.classes, peak), after = top + 1;
    T* line = e + i * call.classes;
    x.rest[i] = exps_of(v, top, peak, line) + exps_of(v + after, call.classes - after, peak, line + after);
    line[top] = T(1);
    x.peak[i] = peak;
    x.top[i] = int32_t(top);
    x.margin[i] = margin_of(v[top], peak, x.rest[i]);
  }
}

// One example whose largest class has the value and the slope of `x`.
template <bool with_root, class T>
void finish_row(const Softmax& call, int two_gamma, int64_t begin, int64_t i, T* e, const RowBuffers<T>& b,
                Examples<T>& x, Outcome& outcome) {
  const int64_t classes = call.classes, top = x.top[i], after = top + 1;
  const T sum = T(1) + x.rest[i];
  const RowOf<T> row{x.peak[i], x.rest[i], log_of(sum), T(1) / sum, T(two_gamma) / 2,
                     {call.smoothing, double(classes)}};
  const T* v = row_of(call, call.logits, call.dtype, call.strides, begin + i, b.logits);
  const T* y = b.labels;
  if (call.sparse) b.labels[x.label[i]] = T(1);
  else y = row_of(call, call.labels, call.label_dtype, call.label_strides, begin + i, b.labels);
  RowSums<T> sums{0, 0, hardness_of(y[top]) <= 0 ? Bits<T>(0) : Bits<T>(1)};
  for (const auto& [first, n] : {std::pair{int64_t(0), top}, std::pair{after, classes - after}}) {
    const RowSums<T> part = terms_of_row<with_root>(row, two_gamma, v + first, e + first, y + first, b.weight + first,
                                                    n, b.slope + first, b.ratio + first);
    sums = {sums.value + part.value, sums.ratio + part.ratio, sums.outside | part.outside};
  }
  const T label = row.smooth(y[top]), value = x.value[i], slope_of_top = b.weight[top] * (label * x.first[i]);
  const bool absent = (label == 0) | (b.weight[top] == 0);
  x.value[i] = sums.value + (absent && value == T(INFINITY) ? T(0) : b.weight[top] * (label * value));
  if (sums.outside != 0 && outcome.first_bad < 0) outcome.first_bad = begin + i;
  if (call.sparse) b.labels[x.label[i]] = T(0);
  if (call.gradient == nullptr) return;
  b.slope[top] = b.ratio[top] = T(0);
  const T ratio_of_top = slope_of_top / (x.rest[i] > 0 ? x.rest[i] : T(1)), upstream = x.upstream[i];
  const T *__restrict ratio = b.ratio, *__restrict exps = e;
  T* __restrict slope = b.slope;
  for (int64_t k = 0; k < classes; ++k)
    slope[k] = upstream * (slope[k] - exps[k] * ((sums.ratio - ratio[k]) + ratio_of_top));
  slope[top] = upstream * (slope_of_top - sums.ratio);
}

template <class T>
void dense_rows(const Softmax& call, int two_gamma, int64_t begin, int64_t n, T* e, const RowBuffers<T>& b,
                Examples<T>& x, Outcome& outcome) {
  const T* upstream = load(call.upstream, Shape{2, {call.outer, call.inner}}, begin, n, x.upstream, true);
  for (int64_t i = 0; i < n; ++i) {
    x.upstream[i] = upstream[i];
    x.ones[i] = T(1);
  }
  if (call.sparse) load_labels(call, begin, n, x, outcome);
  else outcome.count += n;
  peaks_of_rows(call, begin, n, e, b.logits, x);
  focal_of_margins(two_gamma, 1, T(1), n, x.margin, x, x.value, x.first, x.second);
  const DType slopes = slope_dtype(call, call.dtype);
  for (int64_t i = 0; i < n; ++i) {
    T* line = e + i * call.classes;
    if (call.sparse && x.label[i] < 0) {
      x.value[i] = x.label[i] == Examples<T>::invalid ? T(NAN) : T(0);
      std::fill_n(b.slope, call.classes, T(0));
    } else if (two_gamma % 2 != 0) {
      finish_row<true>(call, two_gamma, begin, i, line, b, x, outcome);
    } else {
      finish_row<false>(call, two_gamma, begin, i, line, b, x, outcome);
    }
    outcome.sum += double(x.value[i]);
    if (call.gradient == nullptr) continue;
    const int64_t at = (begin + i) * (call.is_in_place() ? call.strides[0] : call.classes);
    if (slopes == dtype_of<T>()) std::copy_n(b.slope, call.classes, static_cast<T*>(call.gradient) + at);
    else store(call.gradient, slopes, at, call.classes, b.slope);
  }
  put_values(call, begin, n, x.value);
}

// All examples from `begin` to `end`, if the call is one for rows.
template <class T>
bool dense_by_rows(const Softmax& call, int two_gamma, int64_t begin, int64_t end, int64_t together, Examples<T>& x,
                   Outcome& outcome) {
  if (two_gamma == any_power || call.hessian != nullptr || call.inner != 1) return false;
  const int64_t classes = call.classes, rows = together < end - begin ? together : end - begin;
  const std::unique_ptr<T[]> memory(new T[(rows + 5) * classes]);
  T* const m = memory.get() + rows * classes;
  const RowBuffers<T> b{m, m + classes, m + 2 * classes, m + 3 * classes, m + 4 * classes};
  std::fill_n(b.labels, classes, T(0));
  for (int64_t k = 0; k < classes; ++k) b.weight[k] = T(call.weight[call.weights == 1 ? 0 : k]);
  for (int64_t start = begin; start < end; start += rows)
    dense_rows(call, two_gamma, start, end - start < rows ? end - start : rows, memory.get(), b, x, outcome);
  return true;
}

}  // namespace focal::FOCAL_ISA
