// Branch-free elementary functions of float and double that a compiler turns into vector instructions.
//
// Each is inlined into loops that are compiled once per instruction set, so everything here lives in the namespace
// of that instruction set, FOCAL_ISA. The constants are those of tools/tables.py. Nothing here survives
// -ffast-math: the sums that look like zero are the rounding errors.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <type_traits>

// FOCAL_INDEPENDENT before a loop says that no iteration reads what another writes. Clang heeds `__restrict` for
// parameters only, and without this word leaves loops with several results as they are, at a tenth of the speed.
#if defined(__clang__)
#define FOCAL_INLINE inline __attribute__((always_inline))
#define FOCAL_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(_MSC_VER)
#define FOCAL_INLINE __forceinline
#define FOCAL_INDEPENDENT __pragma(loop(ivdep))
#else
#define FOCAL_INLINE inline __attribute__((always_inline))
#define FOCAL_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace focal::FOCAL_ISA {

// An unevaluated sum hi + lo, |lo| at most about an ULP of hi: a number to about twice the precision of T.
template <class T>
struct Pair {
  T hi, lo;
};

template <class T>
struct Traits;

template <>
struct Traits<float> {
  using Bits = uint32_t;
  // <tables: float> Written by tools/tables.py; `make tables` writes it anew.
  static constexpr int mantissa = 23, bias = 127;
  static constexpr float largest = 3.4028234663852886e+38f;  // the largest number
  static constexpr float smallest = 1.1754943508222875e-38f;  // the smallest normal number
  static constexpr float round = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  static constexpr float log2_e = 1.44269504088896340736f;  // 1 / ln 2
  static constexpr float exp_limit = 104.0f;  // exp(-104) rounds to 0
  static constexpr float normal_exp = 87.0f;  // exp(-87) is above the smallest normal number
  static constexpr float ln2_hi = 0.693145751953125f;  // 15 bits: n * ln2_hi is exact
  static constexpr float ln2_lo = 1.428606765330187e-06f;  // the rest of ln 2
  static constexpr float exp_tail[] = {
      0.49999993688676261576f, 0.16666521387432108594f, 0.041668340581161919017f,
      0.0083686466331062650711f, 0.0013816859037436928169f};
  static constexpr float log1p_tail[] = {
      0.49999971829186297653f, -0.33331627393897118191f, 0.2496997042710400612f,
      -0.19752894262683329934f, 0.15518405723534032821f, -0.10952489424910898129f,
      0.060313681679495690646f, -0.021599024443337370276f, 0.0036247987442554280582f};
  // </tables: float>
};

template <>
struct Traits<double> {
  using Bits = uint64_t;
  // <tables: double> Written by tools/tables.py; `make tables` writes it anew.
  static constexpr int mantissa = 52, bias = 1023;
  static constexpr double largest = 1.7976931348623157e+308;  // the largest number
  static constexpr double smallest = 2.2250738585072014e-308;  // the smallest normal number
  static constexpr double round = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  static constexpr double log2_e = 1.44269504088896340736;  // 1 / ln 2
  static constexpr double exp_limit = 746.0;  // exp(-746) rounds to 0
  static constexpr double normal_exp = 708.0;  // exp(-708) is above the smallest normal number
  static constexpr double ln2_hi = 0.6931471805598903;  // 42 bits: n * ln2_hi is exact
  static constexpr double ln2_lo = 5.497923018708371e-14;  // the rest of ln 2
  static constexpr double exp_tail[] = {
      0.50000000000000099689, 0.16666666666666422218, 0.041666666666534823235,
      0.0083333333334902577875, 0.0013888888942553338531, 0.00019841269512737795229,
      0.000024801494103513902368, 2.7557582771213457093e-6, 2.7629920294631955156e-7,
      2.5000748419555025143e-8};
  static constexpr double log1p_tail[] = {
      0.49999999999999990793, -0.33333333333328589644, 0.24999999999498765626,
      -0.19999999976911372117, 0.16666666069834025103, -0.14285704444254889054,
      0.12499888174073638132, -0.11110189576421818098, 0.09994290510721910718,
      -0.090636018843154063937, 0.082304638593269026028, -0.073821773070506836831,
      0.06384499128437254306, -0.051436939640769499522, 0.037043180955948617271,
      -0.022813644676659027418, 0.011464877657006222691, -0.0044540986072304154253,
      0.0012434058188275084835, -0.00022057068793516123688, 0.0000185964247691646212};
  // </tables: double>
};

template <class T>
using Bits = typename Traits<T>::Bits;

template <class T>
FOCAL_INLINE Bits<T> to_bits(T x) {
  Bits<T> bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}

template <class T>
FOCAL_INLINE T from_bits(Bits<T> bits) {
  T x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
constexpr bool fused = true;  // whether the machine has a fused multiply-add
#else
constexpr bool fused = false;
#endif

// a * b + c, rounded once if the machine has a fused multiply-add.
template <class T>
FOCAL_INLINE T mul_add(T a, T b, T c) {
  if constexpr (fused) return std::fma(a, b, c);
  else return a * b + c;
}

// The rounding error of product = a * b, exactly. Without a fused multiply-add by Dekker's splitting, for |a|, |b|
// far below overflow.
template <class T>
FOCAL_INLINE T product_error(T a, T b, T product) {
  if constexpr (fused) return std::fma(a, b, -product);
  constexpr T splitter = T((uint64_t(1) << ((Traits<T>::mantissa + 2) / 2)) + 1);
  const T ta = splitter * a, tb = splitter * b;
  const T a_hi = ta - (ta - a), b_hi = tb - (tb - b);
  const T a_lo = a - a_hi, b_lo = b - b_hi;
  return ((a_hi * b_hi - product) + a_hi * b_lo + a_lo * b_hi) + a_lo * b_lo;
}

// x + y with its rounding error, for |x| >= |y| or x = 0 (Dekker) and for any x, y (Knuth).
template <class T>
FOCAL_INLINE Pair<T> fast_two_sum(T x, T y) {
  const T sum = x + y;
  return {sum, y - (sum - x)};
}

template <class T>
FOCAL_INLINE Pair<T> two_sum(T x, T y) {
  const T sum = x + y, z = sum - x;
  return {sum, (x - (sum - z)) + (y - z)};
}

template <class T>
FOCAL_INLINE Pair<T> multiply(Pair<T> x, Pair<T> y) {
  const T hi = x.hi * y.hi;
  return {hi, product_error(x.hi, y.hi, hi) + mul_add(x.hi, y.lo, x.lo * y.hi)};
}

template <class T>
FOCAL_INLINE Pair<T> square(Pair<T> x) {
  const T hi = x.hi * x.hi;
  return {hi, mul_add(T(2) * x.hi, x.lo, product_error(x.hi, x.hi, hi))};
}

// x * y and x^2 as one T, rounded once where there is a fused multiply-add.
template <class T>
FOCAL_INLINE T rounded_product(Pair<T> x, Pair<T> y) {
  return mul_add(x.hi, y.hi, mul_add(x.hi, y.lo, x.lo * y.hi));
}

template <class T>
FOCAL_INLINE T rounded_product(Pair<T> x, T y) {
  return mul_add(x.hi, y, x.lo * y);
}

template <class T>
FOCAL_INLINE T rounded_square(Pair<T> x) {
  return mul_add(x.hi, x.hi, T(2) * x.hi * x.lo);
}

// Horner's scheme over pairs of coefficients, or over fours if there are many: a single chain of dependent
// operations would be long, and Estrin's scheme takes one more multiplication per level. It recurses because no
// compiler vectorizes a loop within a loop.
template <int first, class T, int n>
FOCAL_INLINE T polynomial_pair(T x, const T (&coefficients)[n]) {
  if constexpr (first + 1 < n) return mul_add(coefficients[first + 1], x, coefficients[first]);
  else return coefficients[first];
}

template <int first, class T, int n>
FOCAL_INLINE T polynomial_from(T x, T x2, T x4, const T (&coefficients)[n]) {
  constexpr int width = n > 10 ? 4 : 2;
  T low = polynomial_pair<first>(x, coefficients);
  if constexpr (width == 4 && first + 2 < n) low = mul_add(polynomial_pair<first + 2>(x, coefficients), x2, low);
  if constexpr (first + width >= n) return low;
  else return mul_add(polynomial_from<first + width>(x, x2, x4, coefficients), width == 4 ? x4 : x2, low);
}

template <class T, int n>
FOCAL_INLINE T polynomial(T x, const T (&coefficients)[n]) {
  const T x2 = x * x;
  return polynomial_from<0>(x, x2, x2 * x2, coefficients);
}

// exp(-a) for a >= 0, as hi (1 + relative); NaN for NaN.
//
// Lane types: float, double. Max error: 0.3 ULP of the pair, 1.1 of hi. Valid range: [0, inf] if `extreme`, else
// [0, Traits::normal_exp], beyond which the result is subnormal.
//
// -a = r - n ln 2 with |r| <= ln(2) / 2. e^r = 1 + t, t = r + r^2 tail(r), and what the roundings lose is kept.
template <bool extreme, class T>
FOCAL_INLINE Pair<T> exp_of_negative(T a) {
  using C = Traits<T>;
  using U = Bits<T>;
  if constexpr (extreme) a = a > C::exp_limit ? C::exp_limit : a;
  const T shifted = mul_add(a, C::log2_e, C::round);
  const T n = shifted - C::round;
  const T r_hi = mul_add(n, C::ln2_hi, -a), r = mul_add(n, C::ln2_lo, r_hi);  // r_hi is exact
  const T tail = polynomial(r, C::exp_tail), t = mul_add(r * r, tail, r);
  const T e = T(1) + t;
  const T rest = mul_add(r * r, tail, mul_add(n, C::ln2_lo, r_hi - (e - T(1))));  // the roundings of r, t and e
  const T relative = mul_add(-t, rest, rest);                                     // about rest / e
  // The integer n stands in the low bits of `shifted`; 2^-n goes into the exponent.
  if constexpr (!extreme) return {from_bits<T>(to_bits(e) - (to_bits(shifted) << C::mantissa)), relative};
  const U whole = to_bits(shifted) - to_bits(C::round), half = whole >> 1;
  const T first = from_bits<T>((U(C::bias) - half) << C::mantissa);
  const T second = from_bits<T>((U(C::bias) - (whole - half)) << C::mantissa);
  return {e * first * second, relative};  // by two factors: 2^-n itself may be subnormal
}

// log(1 + u) + u * correction for u in [0, 1] and a small correction. Max error: 1.6 ULP; 1.9 without a fused
// multiply-add.
template <class T>
FOCAL_INLINE T log1p(T u, T correction) {
  return mul_add(u, mul_add(-u, polynomial(u, Traits<T>::log1p_tail), correction), u);
}

// log(x) for x >= 0, with an absolute error of at most 1.3 eps * (1 + |log x|); -inf at 0, inf at inf, NaN for NaN.
//
// x = 2^n (1 + u) with u in [0, 1). Below 1 the two parts cancel: right for exponents, not for a result near 0.
template <class T>
FOCAL_INLINE T log_of(T x) {
  using C = Traits<T>;
  using U = Bits<T>;
  constexpr T lift = T(uint64_t(1) << 32) * T(C::mantissa > 32 ? 4194304 : 1);  // makes subnormal numbers normal
  const bool tiny = x < C::smallest;
  const U bits = to_bits(tiny ? x * lift : x);
  const U one = U(C::bias) << C::mantissa;
  const T u = from_bits<T>((bits & ((U(1) << C::mantissa) - 1)) | one) - T(1);
  // The exponent as a float, through the mantissa of 2^mantissa, because 64-bit integers have no vector conversion.
  constexpr T base = T(uint64_t(1) << C::mantissa);
  const T n = from_bits<T>((bits >> C::mantissa) | to_bits(base)) - base - T(C::bias) -
              (tiny ? T(C::mantissa > 32 ? 54 : 32) : T(0));
  const T mantissa_log = u * (T(1) - u * polynomial(u, C::log1p_tail));
  const T result = mul_add(n, C::ln2_hi, mul_add(n, C::ln2_lo, mantissa_log));
  const T limit = x > 0 ? x : (x == 0 ? -INFINITY : x);  // inf, -inf and NaN
  return ((x > 0) & (x <= C::largest)) ? result : limit;
}

}  // namespace focal::FOCAL_ISA
