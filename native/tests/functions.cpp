// Measures and asserts the error bounds in the comments of vector_math.hpp: floats against double, doubles against
// long double, both at random points of every relevant binade.
#include <cstdio>
#include <limits>
#include <random>

#include "../vector_math.hpp"

using namespace focal::FOCAL_ISA;

namespace {

// With at least eleven more bits than double it is exact to a two-thousandth of an ULP.
static_assert(std::numeric_limits<long double>::digits >= 64, "long double must be wider than double");

// Wide is enough for the exact result and for a pair of T.
template <class T, class Wide>
struct Errors {
  double pair = 0, high = 0;

  // The error in ULP of the exact result.
  void see(Pair<T> got, Wide low, Wide exact) {
    const T nearest = T(exact), next = std::nextafter(nearest, T(INFINITY));
    const Wide spacing = std::ilogb(nearest) == std::ilogb(next) ? Wide(next) - Wide(nearest) : Wide(nearest) * std::numeric_limits<T>::epsilon() / 2;
    const auto size = [&](Wide e) { return std::fabs(double(e / spacing)); };
    pair = std::fmax(pair, size(Wide(got.hi) + low - exact));
    high = std::fmax(high, size(Wide(got.hi) - exact));
  }
};

// Prints an error beside its bound, and returns whether the bound holds.
bool keeps(const char* type, const char* what, double error, double promised) {
  const bool within = error <= promised;
  std::printf("%-7s %-32s %.3f of %.1f%s\n", type, what, error, promised, within ? "" : "  BROKEN");
  return within;
}

template <class T, class Wide>
bool check(const char* name, int points) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> unit(0, 1);
  Errors<T, Wide> fast, extreme, log1p;
  double log_error = 0;
  for (int k = 0; k < points; ++k) {
    const T scale = std::ldexp(T(1), -int(random() % 30)), u = T(unit(random)) * scale;
    log1p.see({focal::FOCAL_ISA::log1p(u, T(0)), T(0)}, Wide(0), std::log1p(Wide(u)));
    const T a = T(unit(random)) * (k % 2 == 0 ? Traits<T>::normal_exp : scale);
    const Wide exact = std::exp(-Wide(a));
    const Pair<T> f = exp_of_negative<false>(a), e = exp_of_negative<true>(a);
    fast.see(f, Wide(f.hi) * Wide(f.lo), exact);
    extreme.see(e, Wide(e.hi) * Wide(e.lo), exact);
    T x = from_bits<T>(Bits<T>(random()) & (to_bits(T(INFINITY)) - 1));
    if (k % 2 == 0) x = T(2 * unit(random));
    if (x > 0) {
      const Wide truth = std::log(Wide(x));
      const double size = 1 + std::fabs(double(truth));
      log_error = std::fmax(log_error, std::fabs(double(Wide(log_of(x)) - truth)) / size);
    }
  }
  bool within = keeps(name, "exp_of_negative, pair, ULP", fast.pair, 0.3);
  within &= keeps(name, "exp_of_negative, hi, ULP", fast.high, 1.1);
  // In a subnormal result each of the two factors rounds.
  within &= keeps(name, "extreme exp_of_negative, hi, ULP", extreme.high, 1.1);
  within &= keeps(name, "log1p, ULP", log1p.high, fused ? 1.6 : 1.9);
  within &= keeps(name, "log_of, eps (1 + |log x|)", log_error / double(std::numeric_limits<T>::epsilon()), 1.3);
  return within;
}

}  // namespace

int main() {
  const bool within = check<float, double>("float", 20000000);
  return check<double, long double>("double", 300000) && within ? 0 : 1;
}
