// The worst error of the binary float32 kernels over every float32 logit, against closed forms in double with libm.
//
//     ulp ISA [--stride N] [--threads N]
//
// Hard labels of both kinds, weight 1. The unit is the spacing of floats at the true value, that of subnormal floats
// below the normal range; for the Hessian, which changes sign, it is the spacing at the sum of the magnitudes of its
// terms. docs/accuracy.md states the worst in these units, and a worse one is a failure. The bound, which must be kept
// too, is (8 + 2 gamma |z|) eps times the true value or that sum, where it is a normal float. Up to |z| = 87 p and q are
// normal; the logits beyond have a table of their own.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include "../dispatch.hpp"
#include "../parallel.hpp"

namespace {

constexpr int64_t block = 4096;
constexpr uint32_t beyond = 0x42ae0000, infinity = 0x7f800000;  // the bits of 87 and of inf
// 10 has no power of its own: it stands for every other gamma.
constexpr double gammas[] = {0, 0.5, 1, 2, 3, 5, 10};
const char* const quantities[] = {"value", "gradient", "Hessian"};
const char* const ranges[] = {"|z| < 87", "|z| >= 87"};

struct Worst {
  double ulp = 0, bound = 0;
  float ulp_at = 0, bound_at = 0;
};

struct Table {
  Worst cells[2][7][3];  // |z| <= 87 and beyond; gamma; quantity
};

float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The spacing of floats at x, |x| at most the largest float.
inline double spacing(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits &= uint64_t(0x7ff) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return std::max(power * 0x1p-23, 0x1p-149);
}

// Numbers that do not depend on gamma, for logits s of one sign.
struct Margins {
  alignas(64) double s[block], p[block], q[block], loss[block];
};

void margins(const float* s, int64_t n, Margins& m) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const double a = std::fabs(double(s[i])), u = std::exp(-a), far = 1 / (1 + u), near = u * far, log1p = std::log1p(u);
    const bool right = s[i] >= 0;
    m.s[i] = a;
    m.p[i] = right ? far : near;
    m.q[i] = right ? near : far;
    m.loss[i] = right ? log1p : a + log1p;
  }
}

struct Truth {
  alignas(64) double exact[3][block], scale[3][block];
};

template <class Power>
void truth(const Margins& m, double g, int64_t n, Truth& t, Power&& power) {
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const double p = m.p[i], q = m.q[i], loss = m.loss[i], factor = power(q);
    const double one = (2 * g + 1) * p * q, two = g * g * p * p * loss, three = g * p * q * loss;
    t.exact[0][i] = t.scale[0][i] = factor * loss;
    t.exact[1][i] = -factor * (g * p * loss + q);
    t.scale[1][i] = factor * (g * p * loss + q);
    t.exact[2][i] = factor * (one + two - three);
    t.scale[2][i] = factor * (one + two + three);
  }
}

void truth(const Margins& m, double g, int64_t n, Truth& t) {
  if (g == 0) truth(m, g, n, t, [](double) { return 1.0; });
  else if (g == 0.5) truth(m, g, n, t, [](double q) { return std::sqrt(q); });
  else if (g == 1) truth(m, g, n, t, [](double q) { return q; });
  else if (g == 2) truth(m, g, n, t, [](double q) { return q * q; });
  else if (g == 3) truth(m, g, n, t, [](double q) { return q * q * q; });
  else if (g == 5) truth(m, g, n, t, [](double q) { return q * q * q * q * q; });
  else truth(m, g, n, t, [](double q) { return (q * q * q * q * q) * (q * q * q * q * q); });
}

// NaN counts as an infinite error.
inline double error(double got, double exact) {
  const double e = std::fabs(got - exact);
  return e == e ? e : INFINITY;
}

void compare(const float* z, const float* got, const Margins& m, const Truth& t, int quantity, double g, double sign,
             int64_t n, Worst& worst) {
  const double *exact = t.exact[quantity], *scale = t.scale[quantity];
  double ulp = 0, bound = 0;
  const auto ulps = [&](int64_t i) { return error(got[i], sign * exact[i]) / spacing(scale[i]); };
  const auto error_ratio = [&](int64_t i) {
    return scale[i] < 0x1p-126 ? 0 : error(got[i], sign * exact[i]) / ((8 + 2 * g * m.s[i]) * 0x1p-23 * scale[i]);
  };
#pragma omp simd reduction(max : ulp, bound)
  for (int64_t i = 0; i < n; ++i) {
    ulp = std::max(ulp, ulps(i));
    bound = std::max(bound, error_ratio(i));
  }
  if (ulp > worst.ulp)
    for (int64_t i = 0; i < n; ++i)
      if (ulps(i) > worst.ulp) worst.ulp = ulps(i), worst.ulp_at = z[i];
  if (bound > worst.bound)
    for (int64_t i = 0; i < n; ++i)
      if (error_ratio(i) > worst.bound) worst.bound = error_ratio(i), worst.bound_at = z[i];
}

struct Results {
  alignas(64) float values[3][block];
};

// Each quantity is measured by a call for no higher derivative, because the loops for fewer derivatives differ.
void compute(const float* z, float label, double gamma, int64_t n, Results& results) {
  static thread_local float unused[2][block];
  focal::Binary call;
  call.shape.rank = 1;
  call.shape.sizes[0] = n;
  call.logits.data = z;
  call.logits.dtype = focal::DType::f32;
  call.logits.strides[0] = 1;
  call.labels.data = &label;
  call.labels.dtype = focal::DType::f32;
  call.gamma.value = gamma;
  call.positive.value = call.negative.value = call.upstream.value = 1;
  for (int order : {0, 1, 2}) {
    call.value = order == 0 ? results.values[0] : unused[0];
    call.gradient = order == 0 ? nullptr : order == 1 ? results.values[1] : unused[1];
    call.hessian = order == 2 ? results.values[2] : nullptr;
    focal::run(call, 1);
  }
}

// The logits of a block of magnitudes: s and -s, each as a logit with label 1 and negated with label 0.
void check(uint32_t first, uint32_t stride, int64_t n, Table& table) {
  alignas(64) float z[2][block];  // s and -s
  Margins m;
  Truth t;
  Results results;
  Worst(&cells)[7][3] = table.cells[first >= beyond];
  for (int64_t i = 0; i < n; ++i) {
    z[0][i] = float_of(first + uint32_t(i) * stride);
    z[1][i] = -z[0][i];
  }
  for (int side : {0, 1}) {
    margins(z[side], n, m);
    for (int k = 0; k < 7; ++k) {
      truth(m, gammas[k], n, t);
      for (int label : {1, 0}) {
        const float* logits = z[label == 1 ? side : 1 - side];
        compute(logits, float(label), gammas[k], n, results);
        for (int quantity = 0; quantity < 3; ++quantity)
          compare(logits, results.values[quantity], m, t, quantity, gammas[k], quantity == 1 && label == 0 ? -1 : 1, n,
                  cells[k][quantity]);
      }
    }
  }
}

void take(const Worst& other, Worst& worst) {
  if (other.ulp > worst.ulp) worst.ulp = other.ulp, worst.ulp_at = other.ulp_at;
  if (other.bound > worst.bound) worst.bound = other.bound, worst.bound_at = other.bound_at;
}

// The worst ULP for |z| < 87 in the table of docs/accuracy.md, or a negative number without such a row or column.
struct Stated {
  double ulp[7][3];

  explicit Stated(const std::string& isa) {
    for (auto& row : ulp) std::fill(row, row + 3, -1.0);
#if defined(__ARM_FEATURE_FMA)
    const bool fused = true;  // AArch64 computes as x86-64-v3 does
#else
    const bool fused = isa == "x86-64-v3";
#endif
    const int column = isa == "x86-64-v4" ? 3 : fused ? 4 : 5;
    const std::regex row(R"(\| ([\d.]+) \| (\w+) \| ([\d.]+) \| [^|]+ \| [^|]+ \| ([\d.]+) \| ([\d.]+) \|)");
    std::ifstream file(FOCAL_ACCURACY);
    std::smatch found;
    for (std::string line; std::getline(file, line);)
      if (std::regex_match(line, found, row))
        for (int k = 0; k < 7; ++k)
          for (int quantity = 0; quantity < 3; ++quantity)
            if (std::stod(found[1]) == gammas[k] && found[2] == quantities[quantity])
              ulp[k][quantity] = std::stod(found[column]);
  }
};

// Whether every error is at most that of docs/accuracy.md, to its two digits; prints the others. Beyond |z| = 87 it
// states 0.75 for values and gradients, and 510 for the Hessian.
bool as_stated(const Table& table, const Stated& stated) {
  bool within = true;
  for (int range : {0, 1})
    for (int k = 0; k < 7; ++k)
      for (int quantity = 0; quantity < 3; ++quantity) {
        const double got = table.cells[range][k][quantity].ulp;
        const double most = range == 0 ? stated.ulp[k][quantity] + 0.005 : quantity == 2 ? 510 : 0.75;
        if (got <= most) continue;
        std::printf("%s, gamma %g, %s: %.3f ULP where docs/accuracy.md states %.2f\n", ranges[range], gammas[k],
                    quantities[quantity], got, range == 0 ? stated.ulp[k][quantity] : most);
        within = false;
      }
  return within;
}

bool within_the_bound(const Table& table) {
  for (const auto& range : table.cells)
    for (const auto& row : range)
      for (const Worst& worst : row)
        if (!(worst.bound <= 1)) return false;
  return true;
}

bool infinities_are_right() {
  bool right = true;
  for (double gamma : gammas)
    for (int label : {0, 1}) {
      const float sign = label == 1 ? 1 : -1, z[2] = {-sign * INFINITY, sign * INFINITY};
      Results r;
      compute(z, float(label), gamma, 2, r);
      right &= r.values[0][0] == INFINITY && r.values[1][0] == -sign && r.values[2][0] == 0;
      right &= r.values[0][1] == 0 && r.values[1][1] == 0 && r.values[2][1] == 0;
    }
  return right;
}

}  // namespace

int main(int count, char** arguments) {
  uint32_t stride = 1;
  int threads = 2;
  for (int k = 2; k + 1 < count; k += 2) {
    if (std::string(arguments[k]) == "--stride") stride = uint32_t(std::atoi(arguments[k + 1]));
    if (std::string(arguments[k]) == "--threads") threads = std::atoi(arguments[k + 1]);
  }
  if (count < 2 || stride < 1 || threads < 1) {
    std::fprintf(stderr, "usage: ulp ISA [--stride N] [--threads N]\n");
    return 2;
  }
  focal::select(arguments[1]);
  std::vector<Table> tables(threads);
  for (const auto& [low, high] : {std::pair{0u, beyond}, std::pair{beyond, infinity}}) {
    const int64_t total = (int64_t(high) - low + stride - 1) / stride, blocks = (total + block - 1) / block;
    focal::run_pieces(threads, nullptr, [&](int64_t thread) {
      for (int64_t b = thread; b < blocks; b += threads)
        check(uint32_t(low + b * block * stride), stride, std::min(block, total - b * block), tables[size_t(thread)]);
    });
  }
  Table table;
  for (const Table& part : tables)
    for (int range : {0, 1})
      for (int k = 0; k < 7; ++k)
        for (int quantity = 0; quantity < 3; ++quantity)
          take(part.cells[range][k][quantity], table.cells[range][k][quantity]);
  for (int range : {0, 1}) {
    std::printf("%s, %s, stride %u\n\n", arguments[1], ranges[range], stride);
    std::printf("| gamma | quantity | ULP | at z | share of the bound | at z |\n|---|---|---|---|---|---|\n");
    for (int k = 0; k < 7; ++k)
      for (int quantity = 0; quantity < 3; ++quantity) {
        const Worst& w = table.cells[range][k][quantity];
        std::printf("| %g | %s | %.3f | %.9g | %.3f | %.9g |\n", gammas[k], quantities[quantity], w.ulp, w.ulp_at,
                    w.bound, w.bound_at);
      }
    std::printf("\n");
  }
  const bool right = infinities_are_right(), within = within_the_bound(table);
  const bool stated = as_stated(table, Stated(arguments[1]));
  std::printf("infinite logits: %s\n", right ? "the limits" : "WRONG");
  std::printf("the bound: %s\n", within ? "kept" : "BROKEN");
  std::printf("docs/accuracy.md: %s\n", stated ? "kept" : "BROKEN");
  return right && within && stated ? 0 : 1;
}
