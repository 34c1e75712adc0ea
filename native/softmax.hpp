// Loops for the softmax losses. A softmax is a margin: s = v_t - log of the sum of exp(v_k) over the other classes k,
// so that each example, once its margin is known, is one element of scalar.hpp with a hard label of 1.
//
// Two layouts. A *tile* holds some examples side by side, one line of them per class, and the loops run along the
// examples: for images, whose classes lie far apart, and for few classes. *Rows* run along the classes of one example:
// for many classes that lie together.
#pragma once

#include <memory>

#include "binary.hpp"

namespace focal::FOCAL_ISA {

constexpr int64_t tile_size = 256;      // examples
constexpr int64_t tile_elements = 8192;  // logits: 32 KiB in float
constexpr int64_t fewest_row_classes = 48;
constexpr int64_t rows_together = 16;

// exp(v - peak) for v <= peak, and 1 where both are the same infinity.
template <class T>
FOCAL_INLINE T shifted_exp(T v, T peak) {
  return exp_of_negative<true>(v == peak ? T(0) : peak - v).hi;
}

// v_t - peak - log(others). A sum of 0 means that nothing else is left: an infinite margin, whose loss is 0. No finite
// logits give an infinite loss.
template <class T>
FOCAL_INLINE T margin_of(T own, T peak, T others) {
  constexpr T largest = Traits<T>::largest;
  const T margin = (own == peak ? T(0) : own - peak) - log_of(others);
  const bool finite = (std::fabs(own) <= largest) & (std::fabs(peak) <= largest) & (others > 0);
  const T clipped = margin > largest ? largest : margin < -largest ? -largest : margin;
  return finite ? clipped : margin;
}

// What belongs to each of up to tile_size examples.
template <class T>
struct Examples {
  Exponentials<T> exponentials;
  alignas(64) T own[tile_size], peak[tile_size], others[tile_size], rest[tile_size];
  alignas(64) T margin[tile_size], ones[tile_size], gamma[tile_size], weight[tile_size], upstream[tile_size];
  alignas(64) T value[tile_size], first[tile_size], second[tile_size];
  int64_t stride;  // from one class to the next in a tile
  int32_t label[tile_size], top[tile_size];  // label: the true class, `ignored` or `invalid`
  static constexpr int32_t ignored = -1, invalid = -2;
};

// Where example `position` of a call lies.
struct Place {
  int64_t outer, inner;
};

inline Place place_of(const Softmax& call, int64_t position) { return {position / call.inner, position % call.inner}; }

template <class T>
void load_labels(const Softmax& call, int64_t begin, int64_t n, Examples<T>& x, Outcome& outcome) {
  typed(call.labels, call.label_dtype, [&](const auto* labels) {
    for (int64_t i = 0; i < n; ++i) {
      const Place at = place_of(call, begin + i);
      const auto raw = widen(labels[at.outer * call.label_strides[0] + at.inner * call.label_strides[2]]);
      const double label = double(raw);
      const bool inside = label >= 0 && label < double(call.classes);
      if (call.has_ignored && label == double(call.ignored)) {
        x.label[i] = Examples<T>::ignored;
      } else if (inside && label == double(int64_t(inside ? label : 0))) {
        x.label[i] = int32_t(raw);
        ++outcome.count;
      } else {
        x.label[i] = Examples<T>::invalid;
        ++outcome.count;
        if (outcome.first_bad < 0) outcome.first_bad = begin + i;
      }
    }
  });
}

template <class T>
void load_parameters(const Softmax& call, int64_t begin, int64_t n, Examples<T>& x) {
  const Shape shape{2, {call.outer, call.inner}};
  const T* upstream = load(call.upstream, shape, begin, n, x.upstream, true);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t label = x.label[i] < 0 ? 0 : x.label[i];
    x.gamma[i] = T(call.gammas == 0 ? 1 : call.gamma[call.gammas == 1 ? 0 : label]);
    x.weight[i] = T(call.weights == 0 ? 1 : call.weight[call.weights == 1 ? 0 : label]);
    x.ones[i] = T(1);
    x.upstream[i] = upstream[i];
  }
}

// f and its derivatives up to `order`, at least the first, of n margins that have weight 1.
template <class T>
void focal_of_margins(int twice, int order, int64_t n, const T* margin, Examples<T>& x, T* value, T* first, T* second) {
  const Block<T> block{margin, x.ones, x.gamma, nullptr, nullptr, {1, 1}, {1, 1}, value, first, second, order};
  evaluate(twice, Labels::hard, block, n, Ahead{}, x.exponentials);
}

inline int power_of(const Softmax& call) {
  Operand gamma;
  if (call.gammas == 1) gamma.value = call.gamma[0];
  else gamma.data = call.gamma;
  return power_of(gamma);
}

// Value and derivatives in the margin of n examples, weighted. Ignored examples get 0, those with a label that is
// no class NaN, without a gradient.
template <class T>
void finish(const Softmax& call, int twice, int64_t begin, int64_t n, Examples<T>& x, Outcome& outcome) {
  focal_of_margins(twice, call.hessian != nullptr ? 2 : 1, n, x.margin, x, x.value, x.first, x.second);
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    const bool dead = x.label[i] < 0;
    const T absent = x.label[i] == Examples<T>::invalid ? T(NAN) : T(0);
    const T value = x.value[i] == T(INFINITY) && x.weight[i] == 0 ? T(0) : x.weight[i] * x.value[i];
    x.value[i] = dead ? absent : value;
    x.first[i] = dead ? T(0) : x.weight[i] * x.first[i] * x.upstream[i];
    x.second[i] = dead || call.hessian == nullptr ? T(0) : x.weight[i] * x.second[i] * x.upstream[i];
    sum += x.value[i];
  }
  outcome.sum += double(sum);
  if (call.value == nullptr) return;
  if (call.dtype == dtype_of<T>()) std::memcpy(static_cast<T*>(call.value) + begin, x.value, n * sizeof(T));
  else store(call.value, call.dtype, begin, n, x.value);
}

// A result in C order of (outer, classes, inner), or its converted copy.
template <class T>
void put(const Softmax& call, void* array, int64_t position, T value) {
  if (call.dtype == dtype_of<T>()) static_cast<T*>(array)[position] = value;
  else store(array, call.dtype, position, 1, &value);
}

// ---------------------------------------------------------------------------------------------------------------
// Tiles
// ---------------------------------------------------------------------------------------------------------------

// n examples side by side: class k of example i is line(k)[i].
template <class T>
struct Tile {
  const T* data;
  int64_t stride;
  const T* line(int64_t k) const { return data + k * stride; }
};

// The logits, where they lie if they lie side by side, else copied.
template <class T>
Tile<T> load_tile(const Softmax& call, const void* array, DType dtype, const int64_t* strides, int64_t begin, int64_t n,
                  T* buffer, int64_t stride) {
  const Place first = place_of(call, begin);
  if (dtype == dtype_of<T>() && (strides[2] == 1 || n == 1) && first.inner + n <= call.inner)
    return {static_cast<const T*>(array) + first.outer * strides[0] + first.inner * strides[2], strides[1]};
  typed(array, dtype, [&](const auto* data) {
    for (int64_t i = 0; i < n;) {  // one stretch of examples with the same outer index at a time
      const Place at = place_of(call, begin + i);
      const int64_t count = call.inner - at.inner < n - i ? call.inner - at.inner : n - i;
      const auto* start = data + at.outer * strides[0] + at.inner * strides[2];
      for (int64_t k = 0; k < call.classes; ++k)
        for (int64_t j = 0; j < count; ++j)
          buffer[k * stride + i + j] = T(widen(start[k * strides[1] + j * strides[2]]));
      i += count;
    }
  });
  return {buffer, stride};
}

template <class T>
void store_tile(const Softmax& call, void* array, int64_t begin, int64_t n, const T* tile, int64_t stride) {
  if (array == nullptr) return;
  const DType dtype = derivative_dtype(call.dtype, call.wide_derivatives);
  for (int64_t i = 0; i < n;) {
    const Place at = place_of(call, begin + i);
    const int64_t count = call.inner - at.inner < n - i ? call.inner - at.inner : n - i;
    for (int64_t k = 0; k < call.classes; ++k) {
      const int64_t position = (at.outer * call.classes + k) * call.inner + at.inner;
      if (dtype == dtype_of<T>())
        std::memcpy(static_cast<T*>(array) + position, tile + k * stride + i, count * sizeof(T));
      else store(array, dtype, position, count, tile + k * stride + i);
    }
    i += count;
  }
}

// exp of every class but the true one, their sum, and the true logit.
template <class T>
void exps_of_tile(const Softmax& call, const Tile<T>& logits, int64_t n, T* e, Examples<T>& x) {
  T *__restrict own = x.own, *__restrict peak = x.peak, *__restrict others = x.others;
  const int32_t* __restrict label = x.label;
  for (int64_t i = 0; i < n; ++i) {
    own[i] = 0;
    others[i] = 0;
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
      const T exp_i = e[k * x.stride + i], share = exp_i / x.others[i];
      const T rest = (x.top[i] == k ? x.rest[i] : x.rest[i] - exp_i + (x.top[i] < 0 ? T(0) : T(1))) / x.others[i];
      const T off = x.others[i] == 0 ? T(0) : share * (x.second[i] * share - x.first[i] * rest);
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
      const T off = first[i] == 0 ? T(0) : line[i] * ratio[i];  // what is ignored may hold NaN
      out[i] = label[i] == k ? first[i] : off;
    }
  }
}

template <class T>
void sparse_tile(const Softmax& call, int twice, int64_t begin, int64_t n, T* buffer, T* e, T* second, Examples<T>& x,
                 Outcome& outcome) {
  load_labels(call, begin, n, x, outcome);
  load_parameters(call, begin, n, x);
  exps_of_tile(call, load_tile(call, call.logits, call.dtype, call.strides, begin, n, buffer, x.stride),
               n, e, x);
  for (int64_t i = 0; i < n; ++i) x.margin[i] = margin_of(x.own[i], x.peak[i], x.others[i]);
  finish(call, twice, begin, n, x, outcome);
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

template <class T>
T exps_of(const T* __restrict v, int64_t n, T peak, T* __restrict e) {
#pragma GCC ivdep
  for (int64_t k = 0; k < n; ++k) e[k] = shifted_exp(v[k], peak);
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t k = 0; k < n; ++k) sum += e[k];
  return sum;
}

// Few examples at a time, so that their exponentials, which stand where the gradient will, are still in the cache when
// the margins of all of them have been through the loop of scalar.hpp together.
template <class T>
void sparse_rows(const Softmax& call, int twice, int64_t begin, int64_t n, T* buffer, T* scratch, Examples<T>& x,
                 Outcome& outcome) {
  load_labels(call, begin, n, x, outcome);
  load_parameters(call, begin, n, x);
  const int64_t classes = call.classes;
  const DType slope_dtype = derivative_dtype(call.dtype, call.wide_derivatives);
  const bool direct = call.gradient != nullptr && slope_dtype == dtype_of<T>();
  T* const e = direct ? static_cast<T*>(call.gradient) + begin * classes : scratch;
  for (int64_t i = 0; i < n; ++i) {
    const Shape row{1, {classes}};
    const int64_t offset = (begin + i) * call.strides[0] * item_size(call.dtype);
    const Operand operand{static_cast<const char*>(call.logits) + offset, call.dtype, 0, {1}};
    const T* v = load(operand, row, 0, classes, buffer, false);
    const int64_t label = x.label[i] < 0 ? classes : x.label[i], after = label + 1 < classes ? label + 1 : classes;
    const T peak = max_of(v + after, classes - after, max_of(v, label, T(-INFINITY)));
    T* line = e + i * classes;
    x.others[i] = exps_of(v, label, peak, line) + exps_of(v + after, classes - after, peak, line + after);
    x.own[i] = label < classes ? v[label] : T(0);
    x.peak[i] = peak;
  }
  for (int64_t i = 0; i < n; ++i) x.margin[i] = margin_of(x.own[i], x.peak[i], x.others[i]);
  finish(call, twice, begin, n, x, outcome);
  if (call.gradient == nullptr) return;
  for (int64_t i = 0; i < n; ++i) {
    T* __restrict line = e + i * classes;
    const T first = x.first[i], ratio = x.others[i] == 0 ? T(0) : -first / x.others[i];
    if (x.label[i] >= 0) line[x.label[i]] = T(0);
    for (int64_t k = 0; k < classes; ++k) line[k] = first == 0 ? T(0) : line[k] * ratio;
    if (x.label[i] >= 0) line[x.label[i]] = first;
    if (!direct) store(call.gradient, slope_dtype, (begin + i) * classes, classes, line);
  }
}

// ---------------------------------------------------------------------------------------------------------------
// Dense labels: sum over the classes of weight * label * f(margin of the class)
// ---------------------------------------------------------------------------------------------------------------

// The exponential of each class, and for each class the sum of the others: the total minus the class would cancel
// where the class is most of it. Only the largest can be, and its sum is made without it.
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
void pull_of_tile(const Softmax& call, int64_t n, const T* e, const T* others, T* slope, Examples<T>& x) {
  T *__restrict rest = x.rest, *__restrict at_top = x.own;
  for (int64_t i = 0; i < n; ++i) rest[i] = at_top[i] = 0;
  for (int64_t k = 0; k < call.classes; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const T ratio = slope[k * x.stride + i] / others[k * x.stride + i];
      rest[i] += x.top[i] == k ? T(0) : ratio;
      at_top[i] = x.top[i] == k ? ratio : at_top[i];
    }
  for (int64_t k = 0; k < call.classes; ++k)
    for (int64_t i = 0; i < n; ++i) {
      const int64_t at = k * x.stride + i;
      const T ratio = slope[at] / others[at];
      const T sum = x.top[i] == k ? rest[i] : (rest[i] - ratio) + at_top[i];
      slope[at] = x.upstream[i] * (slope[at] - e[at] * sum);
    }
}

template <class T>
struct DenseTile {
  T *buffer, *labels, *e, *others, *margin, *value, *slope;
};

template <class T>
void dense_tile(const Softmax& call, int twice, int64_t begin, int64_t n, const DenseTile<T>& t, Examples<T>& x,
                Outcome& outcome) {
  const Shape shape{2, {call.outer, call.inner}};
  const T* upstream = load(call.upstream, shape, begin, n, x.upstream, true);
  const T keep = T(1 - call.smoothing), shift = T(call.smoothing / double(call.classes));
  others_of_tile(call, load_tile(call, call.logits, call.dtype, call.strides, begin, n, t.buffer, x.stride), n,
                 t.e, t.others, t.margin, x);
  const Tile<T> labels = load_tile(call, call.labels, call.label_dtype, call.label_strides, begin, n, t.labels,
                                   x.stride);
  for (int64_t i = 0; i < n; ++i) {
    x.upstream[i] = upstream[i];
    x.value[i] = 0;
    x.ones[i] = T(1);
  }
  for (int64_t k = 0; k < call.classes; ++k) {
    const T weight = T(call.weight[call.weights == 1 ? 0 : k]), gamma = T(call.gamma[call.gammas == 1 ? 0 : k]);
    const T* __restrict y = labels.line(k);
    T *__restrict value = t.value, *__restrict slope = t.slope + k * x.stride;
    if (twice == any_power)
      for (int64_t i = 0; i < n; ++i) x.gamma[i] = gamma;
    focal_of_margins(twice, 1, n, t.margin + k * x.stride, x, value, slope, x.second);
    for (int64_t i = 0; i < n; ++i) {
      const T label = call.smoothing != 0 ? mul_add(keep, y[i], shift) : y[i], factor = weight * label;
      x.value[i] += factor == 0 && value[i] == T(INFINITY) ? T(0) : factor * value[i];
      slope[i] *= factor;
    }
  }
  for (int64_t i = 0; i < n; ++i) outcome.sum += double(x.value[i]);
  outcome.count += n;
  if (call.value != nullptr)
    for (int64_t i = 0; i < n; ++i) put(call, call.value, begin + i, x.value[i]);
  if (call.gradient == nullptr) return;
  pull_of_tile(call, n, t.e, t.others, t.slope, x);
  store_tile(call, call.gradient, begin, n, t.slope, x.stride);
}

// ---------------------------------------------------------------------------------------------------------------

template <class T>
void softmax_range(const Softmax& call, int64_t begin, int64_t end, Outcome& outcome) {
  const int twice = power_of(call);
  const auto examples = std::make_unique<Examples<T>>();
  const bool rows = call.sparse && call.hessian == nullptr && call.inner == 1 && call.strides[1] == 1 &&
                    call.classes >= fewest_row_classes;
  const int64_t fit = tile_elements / (call.classes > 0 ? call.classes : 1) / 16 * 16;
  const int64_t wanted = rows ? rows_together : fit < 16 ? 16 : fit > tile_size ? tile_size : fit;
  const int64_t step = wanted < end - begin ? wanted : end - begin;  // few examples take little memory
  const int64_t area = step * (call.classes > 0 ? call.classes : 1);
  examples->stride = step;
  const std::unique_ptr<T[]> memory(new T[area * (rows ? 2 : call.sparse ? 3 : 6) + tile_size]);
  T* const m = memory.get();
  for (int64_t start = begin; start < end; start += step) {
    const int64_t n = end - start < step ? end - start : step;
    if (rows) sparse_rows(call, twice, start, n, m, m + area, *examples, outcome);
    else if (call.sparse) sparse_tile(call, twice, start, n, m, m + area, m + 2 * area, *examples, outcome);
    else
      dense_tile(call, twice, start, n,
                 DenseTile<T>{m, m + area, m + 2 * area, m + 3 * area, m + 4 * area, m + 6 * area, m + 5 * area},
                 *examples, outcome);
  }
}

inline void softmax(const Softmax& call, int64_t begin, int64_t end, Outcome& outcome) {
  return call.dtype == DType::f64 ? softmax_range<double>(call, begin, end, outcome)
                                  : softmax_range<float>(call, begin, end, outcome);
}

}  // namespace focal::FOCAL_ISA
