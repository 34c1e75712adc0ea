// The binary losses, block by block.
//
// An operand that is contiguous and of the type computed in is read in place; any other is first converted into a
// buffer of one block. So no loop per combination of dtypes and strides is needed.
#pragma once

#include "blocks.hpp"
#include "members.hpp"
#include "staging.hpp"

namespace focal::FOCAL_ISA {

// The buffers of a block. 1024 elements: 52 KiB in float, of which a call touches a few.
template <class T>
struct Buffers {
  alignas(64) T z[block_size], label[block_size], y[block_size], gamma[block_size];
  alignas(64) T u[block_size], error[block_size], finite[block_size];
  alignas(64) T positive[block_size], negative[block_size];
  alignas(64) T upstream[block_size], value[block_size], gradient[block_size], hessian[block_size];
};

// The memory for a result: its array, or a buffer if the array has another dtype or is not wanted.
template <class T>
T* target(void* array, bool direct, int64_t position, T* buffer) {
  return array != nullptr && direct ? static_cast<T*>(array) + position : buffer;
}

template <class T>
void multiply_by(const T* __restrict factor, int64_t n, T* __restrict values) {
  for (int64_t i = 0; i < n; ++i) values[i] *= factor[i];
}

// The address of the elements from `begin` on, or null if they are not contiguous.
inline const char* contiguous_from(const Operand& operand, const Shape& shape, int64_t begin) {
  if (operand.data == nullptr || !is_contiguous(operand, shape)) return nullptr;
  return static_cast<const char*>(operand.data) + begin * item_size(operand.dtype);
}

// A call, and values that all its blocks share.
template <class T>
class BinaryBlocks {
 public:
  explicit BinaryBlocks(const Binary& call) : call_(call) {}
  template <class>
  friend class BinaryBlocks;

  void run(int64_t begin, int64_t end, Outcome& outcome) {
    for (int64_t start = begin; start < end; start += block_size)
      one(start, end - start < block_size ? end - start : block_size, end, outcome);
    outcome.count += end - begin;
  }

 private:
  const Binary& call_;
  const int twice_ = power_of(call_.gamma);
  const bool integer_labels_ = call_.labels.dtype >= DType::boolean;
  const bool folds_upstream_ = folds(call_);
  const bool one_weight_ = call_.positive.data == nullptr && call_.negative.data == nullptr;  // one weight per label
  const bool direct_ = result_dtype(call_.logits.dtype, call_.values_at_least_float32) == dtype_of<T>();
  const bool direct_slopes_ = slope_dtype(call_, call_.logits.dtype) == dtype_of<T>();
  const MemberOf<T> member_{call_};
  bool soft_ = call_.smoothing != 0;  // true from the first soft label on
  Buffers<T> buffers_;

  // Whether the upstream gradient is one number whose products with the weights neither overflow nor underflow.
  static bool folds(const Binary& call) {
    if (call.upstream.data != nullptr) return false;
    for (const Operand* weight : {&call.positive, &call.negative}) {
      const T product = T((weight->data == nullptr ? weight->value : 1) * call.upstream.value), size = std::fabs(product);
      if (size > Traits<T>::largest || (size < Traits<T>::smallest && size != 0)) return false;
    }
    return true;
  }

  // Whether parameters that are arrays of double beside narrower logits fit in float.
  bool fit_float(int64_t begin, int64_t n) {
    bool fit = true;
    for (const Operand* operand : {&call_.gamma, &call_.positive, &call_.negative})
      if (operand->data != nullptr && operand->dtype == DType::f64)
        gather(*operand, call_.shape, begin, n, buffers_.u, [&](const auto* data, int64_t stride, int64_t count, T*) {
          for (int64_t i = 0; i < count; ++i) fit &= fits_float(double(widen(data[i * stride])));
        });
    return fit;
  }

  void one(int64_t begin, int64_t n, int64_t end, Outcome& outcome) {
    if constexpr (std::is_same_v<T, float>)
      if (!fit_float(begin, n)) return BinaryBlocks<double>(call_).one(begin, n, end, outcome);
    Block<T> block = describe(begin, n, outcome);
    const Ahead ahead = ahead_of(begin + block_size, end);
    const Exponentials<T> x{buffers_.u, buffers_.error, buffers_.finite};
    const Seen<T> seen = integer_labels_ ? exponentials<false>(block, n, ahead, x)
                                         : exponentials<true>(block, n, ahead, x);
    if (seen.outside != 0 && outcome.first_bad < 0) outcome.first_bad = begin + first_outside(block.y, n);
    soft_ = soft_ || seen.soft != 0;
    if (member_.has_sides()) by_sides(begin, n, block, seen, x);
    else by_margin(begin, n, block, seen, x);
    outcome.sum += sum_of(block.value, n);
    finish(begin, n, block);
  }

  // The focal loss of a margin, and what is made of two.
  void by_margin(int64_t begin, int64_t n, Block<T>& block, const Seen<T>& seen, const Exponentials<T>& x) {
    if (call_.family == Family::penalty_reduced) {
      member_.of_heatmap(block.y, n, buffers_.y, buffers_.positive);
      block.y = buffers_.y;
      evaluate(twice_, Labels::hard, block, n, seen, x);
      return multiply_by_weight(n, block);
    }
    const Labels of_soft = call_.family == Family::p_t_loss ? Labels::p_t_loss : Labels::expected_loss;
    if (soft_) soften(begin, n, block);
    evaluate(twice_, soft_ ? of_soft : Labels::hard, block, n, seen, x);
    if (!soft_ && !one_weight_) weigh(begin, n, block);
  }

  void by_sides(int64_t begin, int64_t n, Block<T>& block, const Seen<T>& seen, const Exponentials<T>& x) {
    if (call_.family == Family::varifocal || call_.family == Family::matchability) {
      block.negative = load(call_.negative, call_.shape, begin, n, buffers_.negative, false);
    } else if (call_.family == Family::poly1) {
      block.positive = load(call_.positive, call_.shape, begin, n, buffers_.positive, false);
      block.negative = load(call_.negative, call_.shape, begin, n, buffers_.negative, false);
    }
    member_.evaluate(soft_, block, n, seen, x);
  }

  Block<T> describe(int64_t begin, int64_t n, Outcome& outcome) {
    Block<T> block;
    block.z = load(call_.logits, call_.shape, begin, n, buffers_.z, false);
    block.y = integer_labels_ ? load_hard(call_.labels, call_.shape, begin, n, buffers_.label, outcome)
                              : load(call_.labels, call_.shape, begin, n, buffers_.label, false);
    block.gamma = twice_ == any_power ? gammas(begin, n) : nullptr;
    block.order = call_.hessian != nullptr ? 2 : call_.gradient != nullptr ? 1 : 0;
    block.keep_negative_term = T(call_.majorizer ? 0 : 1);
    block.positive = block.negative = nullptr;  // set by `soften`
    block.value = target(call_.value, direct_, begin, buffers_.value);
    block.gradient = target(call_.gradient, direct_slopes_, begin, buffers_.gradient);
    block.hessian = target(call_.hessian, direct_slopes_, begin, buffers_.hessian);
    for (int k : {0, 1}) {
      const double weight = !one_weight_ ? 1 : k == 1 ? call_.positive.value : call_.negative.value;
      block.value_weight[k] = T(weight);
      block.gradient_weight[k] = T(folds_upstream_ ? weight * call_.upstream.value : weight);
    }
    return block;
  }

  const T* gammas(int64_t begin, int64_t n) {
    load(call_.gamma, call_.shape, begin, n, buffers_.gamma, true);
    for (int64_t i = 0; i < n; ++i) buffers_.gamma[i] = bounded(buffers_.gamma[i]);
    return buffers_.gamma;
  }

  Ahead ahead_of(int64_t next, int64_t end) const {
    if (next >= end) return {};
    return {contiguous_from(call_.logits, call_.shape, next), contiguous_from(call_.labels, call_.shape, next),
            item_size(call_.logits.dtype), item_size(call_.labels.dtype)};
  }

  // Smooths the labels, and loads the weights, which the loop applies element by element.
  void soften(int64_t begin, int64_t n, Block<T>& block) {
    block.positive = load(call_.positive, call_.shape, begin, n, buffers_.positive, false);
    block.negative = load(call_.negative, call_.shape, begin, n, buffers_.negative, false);
    if (call_.smoothing == 0) return;
    const LabelSmoothing<T> smooth(call_.smoothing, 2);
    const T* y = block.y;
    for (int64_t i = 0; i < n; ++i) buffers_.y[i] = smooth(y[i]);
    block.y = buffers_.y;
  }

  // Multiplies losses of hard labels, computed with weight 1, by weights that are arrays.
  void weigh(int64_t begin, int64_t n, const Block<T>& block) {
    const T* positive = load(call_.positive, call_.shape, begin, n, buffers_.positive, true);
    const T* negative = load(call_.negative, call_.shape, begin, n, buffers_.negative, true);
    for (int64_t i = 0; i < n; ++i) buffers_.positive[i] = is_negative(block.y[i]) ? negative[i] : positive[i];
    multiply_by_weight(n, block);
  }

  // By the weights in `buffers_.positive`.
  void multiply_by_weight(int64_t n, const Block<T>& block) {
    const T* __restrict weight = buffers_.positive;
    T* __restrict value = block.value;
    for (int64_t i = 0; i < n; ++i) {
      const T product = weight[i] * value[i];
      value[i] = ((weight[i] == 0) & (value[i] == T(INFINITY))) ? T(0) : product;
    }
    if (block.order > 0) multiply_by(weight, n, block.gradient);
    if (block.order > 1) multiply_by(weight, n, block.hessian);
  }

  // Multiplies by the upstream gradient if the loop did not, and stores results of another dtype.
  void finish(int64_t begin, int64_t n, const Block<T>& block) {
    const bool by_hard_loop = !member_.has_sides() && (!soft_ || call_.family == Family::penalty_reduced);
    const bool folded = folds_upstream_ && by_hard_loop;
    if (!folded && (call_.upstream.data != nullptr || call_.upstream.value != 1)) {
      const T* upstream = load(call_.upstream, call_.shape, begin, n, buffers_.upstream, false);
      if (block.order > 0) multiply_by(upstream, n, block.gradient);
      if (block.order > 1) multiply_by(upstream, n, block.hessian);
    }
    if (!direct_) store(call_.value, result_dtype(call_.logits.dtype, call_.values_at_least_float32), begin, n, block.value);
    if (direct_slopes_) return;
    const DType slopes = slope_dtype(call_, call_.logits.dtype);
    store(call_.gradient, slopes, begin, n, block.gradient);
    store(call_.hessian, slopes, begin, n, block.hessian);
  }
};

inline void binary(const Binary& call, int64_t begin, int64_t end, Outcome& outcome) {
  return call.in_double ? BinaryBlocks<double>(call).run(begin, end, outcome)
                        : BinaryBlocks<float>(call).run(begin, end, outcome);
}

}  // namespace focal::FOCAL_ISA
