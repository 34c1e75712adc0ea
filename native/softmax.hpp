// The softmax losses, a few examples at a time.
#pragma once

#include <memory>

#include "dense_rows.hpp"

namespace focal::FOCAL_ISA {

constexpr int64_t tile_elements = 8192;  // logits: 32 KiB in float
constexpr int64_t fewest_row_classes = 48;
constexpr int64_t rows_together = 16;

template <class T>
void softmax_range(const Softmax& call, int64_t begin, int64_t end, Outcome& outcome) {
  const int two_gamma = power_of(call);
  const auto examples = std::make_unique<Examples<T>>();
  const bool one_class = call.sparse && call.smoothing == 0;  // the margin of one class is enough
  const bool rows = one_class && call.hessian == nullptr && call.inner == 1 && call.strides[1] == 1 &&
                    call.classes >= fewest_row_classes;
  if (!one_class && call.classes >= fewest_row_classes &&
      dense_by_rows(call, two_gamma, begin, end, rows_together, *examples, outcome))
    return;
  const int64_t fit = tile_elements / (call.classes > 0 ? call.classes : 1) / 16 * 16;
  const int64_t wanted = rows ? rows_together : fit < 16 ? 16 : fit > tile_size ? tile_size : fit;
  const int64_t step = wanted < end - begin ? wanted : end - begin;  // few examples take little memory
  const int64_t area = step * (call.classes > 0 ? call.classes : 1);
  examples->stride = step;
  const std::unique_ptr<T[]> memory(new T[area * (rows ? 2 : one_class ? 3 : 6) + tile_size]);
  T* const m = memory.get();
  for (int64_t start = begin; start < end; start += step) {
    const int64_t n = end - start < step ? end - start : step;
    if (rows) sparse_rows(call, two_gamma, start, n, m, m + area, *examples, outcome);
    else if (one_class) sparse_tile(call, two_gamma, start, n, m, m + area, m + 2 * area, *examples, outcome);
    else
      dense_tile(call, two_gamma, start, n,
                 DenseTile<T>{m, m + area, m + 2 * area, m + 3 * area, m + 4 * area, m + 6 * area, m + 5 * area},
                 *examples, outcome);
  }
}

inline void softmax(const Softmax& call, int64_t begin, int64_t end, Outcome& outcome) {
  return call.in_double ? softmax_range<double>(call, begin, end, outcome)
                        : softmax_range<float>(call, begin, end, outcome);
}

}  // namespace focal::FOCAL_ISA
