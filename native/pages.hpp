// Memory that is new from the system costs a page fault every 4 KiB when it is first written. For results of many
// megabytes these take several times as long as the loss. NumPy asks for large pages too.
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
