// Threads that live for one call: nothing is left behind for a fork to lose, and no pool spins beside the framework's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <system_error>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace focal {

// Calls function(begin, end, outcome) for consecutive chunks of [0, size), each thread a run of chunks, and adds the
// outcomes up in order: the result does not depend on the number of threads. A thread is started for at least
// `per_thread` elements: one costs about as much as 20,000 elements of a binary loss.
template <class Function>
Outcome in_chunks(int64_t size, int64_t chunk, int64_t per_thread, int threads, const Function& function) {
  const int64_t chunks = (size + chunk - 1) / chunk;
  const int64_t useful = std::max<int64_t>(1, std::min<int64_t>({threads, size / per_thread, chunks}));
  std::vector<Outcome> outcomes(chunks);
  const auto work = [&](int64_t thread) {
    for (int64_t c = chunks * thread / useful; c < chunks * (thread + 1) / useful; ++c)
      function(c * chunk, std::min(size, (c + 1) * chunk), outcomes[c]);
  };
  std::vector<std::thread> helpers;
  helpers.reserve(useful);
  int64_t started = 1;
  try {
    for (; started < useful; ++started) helpers.emplace_back(work, started);
  } catch (const std::system_error&) {  // the machine gives no more threads: this one does their work
  }
  work(0);
  for (; started < useful; ++started) work(started);
  for (std::thread& helper : helpers) helper.join();
  Outcome total;
  for (const Outcome& part : outcomes) {
    total.sum += part.sum;
    total.count += part.count;
    if (total.first_bad < 0) total.first_bad = part.first_bad;
  }
  return total;
}

}  // namespace focal
