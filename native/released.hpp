// Runs a kernel for a caller in Python: without its lock unless that costs more than the kernel, and with an eye on
// signals.
#pragma once

#include <nanobind/nanobind.h>

#include "dispatch.hpp"

namespace focal {

// Elements whose kernel takes a few microseconds. To give the lock up for so short a time may cost a thread that waits
// for it thousands of times as long to get it back.
constexpr int64_t worth_releasing = 1 << 11;

// Whether a signal has raised an exception, such as KeyboardInterrupt. Python checks only in the main thread.
inline bool signalled() {
  nanobind::gil_scoped_acquire acquired;
  return PyErr_CheckSignals() != 0;
}

inline int64_t elements(const Binary& call) { return call.shape.size(); }
inline int64_t elements(const Softmax& call) { return call.outer * call.classes * call.inner; }

// The results of an interrupted call are lost with the exception.
template <class Call>
Outcome run_released(const Call& call, int threads, bool of_team) {
  if (elements(call) < worth_releasing) return run(call, threads, of_team);
  Outcome outcome;
  {
    nanobind::gil_scoped_release released;
    outcome = run(call, threads, of_team, &signalled);
  }
  if (PyErr_Occurred()) throw nanobind::python_error();
  return outcome;
}

}  // namespace focal
