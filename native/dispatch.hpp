#pragma once

#include <string>
#include <vector>

#include "kernels.hpp"

namespace focal {

// The instruction sets that this machine runs, best first, and the choice of one.
std::vector<std::string> instruction_sets();
void select(const std::string& name);

// Whether to stop early. The calling thread asks now and then while the work lasts.
using Poll = bool (*)();

// Runs on up to `threads` threads: those of the team that `use_team` named if `of_team`, else threads that end with
// the call.
Outcome run(const Binary&, int threads, bool of_team = false, Poll interrupted = nullptr);
Outcome run(const Softmax&, int threads, bool of_team = false, Poll interrupted = nullptr);

// The address of `torch_parallel_for` if `stable`, else of GOMP_parallel in the OpenMP that a framework has loaded. A
// process forked after this call does not use it: the threads of a team do not survive a fork, and OpenMP would wait
// for them.
void use_team(uintptr_t address, bool stable);

// The number of threads for calls that do not come from Python.
void set_num_threads(int n);
int num_threads();

// The kernels as a table, for a library that is loaded separately and not linked to this one.
struct EntryPoints {
  Outcome (*binary)(const Binary&, int threads);
  Outcome (*softmax)(const Softmax&, int threads);
  int (*num_threads)();
};
const EntryPoints* entry_points();

}  // namespace focal
