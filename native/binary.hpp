// The binary losses, block by block.
//
// An operand that is contiguous and of the type computed in is read where it lies; any other dtype, stride or broadcast
// is first brought into a buffer of one block. So there need be no loop per combination of dtypes and strides.
#pragma once

#include "blocks.hpp"
#include "staging.hpp"

namespace focal::FOCAL_ISA {

// The buffers of a block. 1024 elements: 52 KiB in float, of which a call touches a few.
template <class T>
struct Buffers {
  Exponentials<T> exponentials;
  alignas(64) T z[block_size], label[block_size], y[block_size], gamma[block_size];
  alignas(64) T positive[block_size], negative[block_size];
  alignas(64) T upstream[block_size], value[block_size], gradient[block_size], hessian[block_size];
};

// Where a result goes: straight to its array, or to a buffer first if that is of another dtype or not wanted.
template <class T>
T* target(void* array, bool direct, int64_t position, T* buffer) {
  return array != nullptr && direct ? static_cast<T*>(array) + position : buffer;
}

template <class T>
void multiply_by(const T* __restrict factor, int64_t n, T* __restrict values) {
  for (int64_t i = 0; i < n; ++i) values[i] *= factor[i];
}

// Weights that are arrays, for hard labels: computed with weight 1, then multiplied.
template <class T>
void weigh(const Binary& call, int64_t begin, int64_t n, const Block<T>& block, Buffers<T>& buffers) {
  const T* positive = load(call.positive, call.shape, begin, n, buffers.positive, true);
  const T* negative = load(call.negative, call.shape, begin, n, buffers.negative, true);
  T *__restrict weight = buffers.positive, *__restrict value = block.value;
  for (int64_t i = 0; i < n; ++i) {
    weight[i] = block.y[i] > T(0.5) ? positive[i] : negative[i];
    const T product = weight[i] * value[i];
    value[i] = (weight[i] == 0) & (value[i] == T(INFINITY)) ? T(0) : product;
  }
  if (block.order > 0) multiply_by(weight, n, block.gradient);
  if (block.order > 1) multiply_by(weight, n, block.hessian);
}

// y -> (1 - a) y + a / 2, then the coefficients of the two terms, or the weight of the mixture.
template <class T>
void soften(const Binary& call, Labels labels, int64_t begin, int64_t n, const T* y, Buffers<T>& buffers) {
  const T keep = T(1 - call.smoothing), shift = T(call.smoothing / 2);
  const T* positive = load(call.positive, call.shape, begin, n, buffers.positive, true);
  const T* negative = load(call.negative, call.shape, begin, n, buffers.negative, true);
  const bool smoothed = call.smoothing != 0, mix = labels == Labels::mixed;
  for (int64_t i = 0; i < n; ++i) {
    const T label = smoothed ? mul_add(keep, y[i], shift) : y[i];
    const T a = positive[i] * label, b = negative[i] * (T(1) - label);
    buffers.y[i] = label;
    buffers.positive[i] = mix ? a + b : a;
    buffers.negative[i] = b;
  }
}

template <class T>
void block_of(const Binary& call, int twice, int64_t begin, int64_t n, const Ahead& ahead, Buffers<T>& buffers,
              bool& soft, Outcome& outcome) {
  const bool integer = call.labels.dtype >= DType::boolean, direct = call.logits.dtype == dtype_of<T>();
  const bool numbers = call.positive.data == nullptr && call.negative.data == nullptr;
  const bool one_upstream = call.upstream.data == nullptr;
  const bool direct_slopes = derivative_dtype(call.logits.dtype, call.wide_derivatives) == dtype_of<T>();
  Block<T> block;
  block.z = load(call.logits, call.shape, begin, n, buffers.z, false);
  block.y = integer ? load_hard(call.labels, call.shape, begin, n, buffers.label, outcome)
                    : load(call.labels, call.shape, begin, n, buffers.label, false);
  block.gamma = twice == any_power ? load(call.gamma, call.shape, begin, n, buffers.gamma, true) : nullptr;
  block.order = call.hessian != nullptr ? 2 : call.gradient != nullptr ? 1 : 0;
  block.positive = buffers.positive;
  block.negative = buffers.negative;
  block.value = target(call.value, direct, begin, buffers.value);
  block.gradient = target(call.gradient, direct_slopes, begin, buffers.gradient);
  block.hessian = target(call.hessian, direct_slopes, begin, buffers.hessian);
  for (int k : {0, 1}) {
    const double weight = !numbers ? 1 : k == 1 ? call.positive.value : call.negative.value;
    block.value_weight[k] = T(weight);
    block.gradient_weight[k] = T(one_upstream ? weight * call.upstream.value : weight);
  }
  Exponentials<T>& x = buffers.exponentials;
  const Seen<T> seen = integer || soft ? exponentials<false>(block.z, block.y, n, ahead, x)
                                       : exponentials<true>(block.z, block.y, n, ahead, x);
  soft = soft || seen.soft != 0;
  const Labels labels = !soft ? Labels::hard : call.family == Family::mixed ? Labels::mixed : Labels::two_term;
  if (soft) {
    soften(call, labels, begin, n, block.y, buffers);
    block.y = buffers.y;
  }
  evaluate(twice, labels, block, n, seen.largest, x);
  if (!soft && !numbers) weigh(call, begin, n, block, buffers);
  outcome.sum += sum_of(block.value, n);
  if (!one_upstream || (soft && call.upstream.value != 1)) {
    const T* upstream = load(call.upstream, call.shape, begin, n, buffers.upstream, false);
    if (block.order > 0) multiply_by(upstream, n, block.gradient);
    if (block.order > 1) multiply_by(upstream, n, block.hessian);
  }
  if (!direct) store(call.value, call.logits.dtype, begin, n, block.value);
  if (!direct_slopes) {
    store(call.gradient, call.logits.dtype, begin, n, block.gradient);
    store(call.hessian, call.logits.dtype, begin, n, block.hessian);
  }
}

// Where the elements from `begin` on lie, if they lie together.
inline const char* contiguous_from(const Operand& operand, const Shape& shape, int64_t begin) {
  if (operand.data == nullptr || !is_contiguous(operand, shape)) return nullptr;
  return static_cast<const char*>(operand.data) + begin * item_size(operand.dtype);
}

template <class T>
void binary_range(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  Buffers<T> buffers;
  const int twice = power_of(call.gamma);
  bool soft = call.smoothing != 0;  // from the first soft label on
  Ahead ahead;
  ahead.logit_size = item_size(call.logits.dtype);
  ahead.label_size = item_size(call.labels.dtype);
  for (int64_t start = begin; start < end; start += block_size) {
    const int64_t next = start + block_size;
    ahead.logits = next < end ? contiguous_from(call.logits, call.shape, next) : nullptr;
    ahead.labels = next < end ? contiguous_from(call.labels, call.shape, next) : nullptr;
    block_of(call, twice, start, next < end ? block_size : end - start, ahead, buffers, soft, outcome);
  }
  outcome.count += end - begin;
}

inline void binary(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  return call.logits.dtype == DType::f64 ? binary_range<double>(call, begin, end, outcome)
                                         : binary_range<float>(call, begin, end, outcome);
}

}  // namespace focal::FOCAL_ISA
