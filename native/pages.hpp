// Memory that a framework has just been given by the system costs a page fault every 4 KiB when it is first written,
// which for results of many megabytes is several times what the loss takes. NumPy asks for large pages likewise.
#pragma once

#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace focal {

inline void ask_for_large_pages(void* array, int64_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr int64_t worthwhile = 1 << 21;
  constexpr uintptr_t page = 4096;
  if (array == nullptr || bytes < worthwhile) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(array) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(array) + uintptr_t(bytes)) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: a failure changes nothing
#else
  (void)array, (void)bytes;
#endif
}

}  // namespace focal
