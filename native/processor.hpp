// Which level of x86-64 runs here, as the System V ABI defines them. The compilers' `__builtin_cpu_supports` does not
// tell everywhere: on Windows Clang links no library that has its answers, and Zig's always says no.
#pragma once

#include <cpuid.h>

#include <cstdint>

namespace focal {

// The registers of a leaf of `cpuid`: a, b, c, d; all zero if the processor does not have it.
struct Leaf {
  unsigned a = 0, b = 0, c = 0, d = 0;
  explicit Leaf(unsigned number) { __get_cpuid_count(number, 0, &a, &b, &c, &d); }
};

// The sets of registers that the system saves when it changes between threads.
inline uint64_t saved_registers() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

inline bool has(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

// 1 to 4.
inline int x86_64_level() {
  constexpr unsigned ssse3_sse4_popcnt = 1 << 0 | 1 << 9 | 1 << 13 | 1 << 19 | 1 << 20 | 1 << 23;  // and cmpxchg16b
  constexpr unsigned avx_fma_f16c = 1 << 12 | 1 << 22 | 1 << 27 | 1 << 28 | 1 << 29;               // and movbe, osxsave
  constexpr unsigned bmi_avx2 = 1 << 3 | 1 << 5 | 1 << 8;
  constexpr unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;  // F, DQ, CD, BW, VL
  constexpr unsigned lahf = 1 << 0, lzcnt = 1 << 5;
  constexpr uint64_t vectors = 1 << 1 | 1 << 2, wide_vectors = 1 << 5 | 1 << 6 | 1 << 7;
  const Leaf basic(1), more(7), extended(0x80000001);
  if (!has(basic.c, ssse3_sse4_popcnt) || !has(extended.c, lahf)) return 1;
  if (!has(basic.c, avx_fma_f16c) || !has(more.b, bmi_avx2) || !has(extended.c, lzcnt)) return 2;
  const uint64_t saved = saved_registers();
  if (!has(saved, vectors)) return 2;
#if defined(__APPLE__)
  const bool saves_wide = true;  // from their first use on
#else
  const bool saves_wide = has(saved, wide_vectors);
#endif
  return saves_wide && has(more.b, avx512) ? 4 : 3;
}

}  // namespace focal
