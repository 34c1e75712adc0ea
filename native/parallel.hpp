// Work runs on threads that live for one call, so that a fork loses nothing and no pool spins beside the
// framework's, or on the framework's own team, which is awake if its operators have just run.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "kernels.hpp"

namespace focal {

// Runs function(data) on a team of threads, this one among them, and returns when all are done; GOMP_parallel is one.
using Team = void (*)(void (*function)(void*), void* data, unsigned threads, unsigned flags);

// Runs work(0) ... work(pieces - 1), each once. A team may turn out smaller than it was asked to be.
template <class Work>
void run_pieces(int64_t pieces, Team team, const Work& work) {
  struct Queue {
    const Work& work;
    int64_t pieces;
    std::atomic<int64_t> next{0};
    std::atomic<bool> failed{false};
    std::exception_ptr failure;  // an exception must not leave a thread
    void run() noexcept {
      try {
        for (int64_t piece; (piece = next++) < pieces;) work(piece);
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
  } queue{work, pieces};
  if (pieces > 1 && team != nullptr) {
    team([](void* data) { static_cast<Queue*>(data)->run(); }, &queue, unsigned(pieces), 0);
  } else {
    std::vector<std::thread> helpers(pieces - 1);
    try {
      for (std::thread& helper : helpers) helper = std::thread([&queue] { queue.run(); });
    } catch (const std::exception&) {  // no more threads, or no memory for one: the existing ones do the work
    }
    queue.run();
    for (std::thread& helper : helpers)
      if (helper.joinable()) helper.join();
  }
  if (queue.failure) std::rethrow_exception(queue.failure);
}

// Asks `poll`, if there is one, whether to stop. Only the thread that made this object asks, and rarely, because it
// may have to wait for Python's lock. A call that ends before the first question pays for reading the clock.
class Interruption {
 public:
  explicit Interruption(bool (*poll)()) : poll_(poll) {}

  bool stops() {
    if (poll_ == nullptr) return false;
    if (std::this_thread::get_id() == caller_ && Clock::now() >= next_) {
      if (poll_()) stopped_ = true;
      next_ = Clock::now() + pause;
    }
    return stopped_;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds pause{200};
  bool (*const poll_)();
  const std::thread::id caller_ = std::this_thread::get_id();
  Clock::time_point next_ = Clock::now() + pause;
  std::atomic<bool> stopped_{false};
};

// Calls function(begin, end, outcome) for consecutive chunks of [0, size), each thread a run of chunks, and adds the
// outcomes up in order: the result does not depend on the number of threads. There is a thread for at least
// `per_thread` elements.
template <class Function>
Outcome in_chunks(int64_t size, int64_t chunk, int64_t per_thread, int threads, Team team, bool (*poll)(),
                  const Function& function) {
  const int64_t chunks = (size + chunk - 1) / chunk;
  const int64_t pieces = std::max<int64_t>(1, std::min<int64_t>({threads, size / per_thread, chunks}));
  std::vector<Outcome> outcomes(chunks);
  Interruption interruption(chunks > 1 ? poll : nullptr);
  run_pieces(pieces, team, [&](int64_t piece) {
    for (int64_t c = chunks * piece / pieces; c < chunks * (piece + 1) / pieces && !interruption.stops(); ++c)
      function(c * chunk, std::min(size, (c + 1) * chunk), outcomes[c]);
  });
  Outcome total;
  for (const Outcome& part : outcomes) {
    total.sum += part.sum;
    total.count += part.count;
    if (total.first_bad < 0) total.first_bad = part.first_bad;
  }
  return total;
}

}  // namespace focal
