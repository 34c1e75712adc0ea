// The choice of the instruction set and of the number of threads.
#include "dispatch.hpp"

#include <algorithm>
#include <atomic>
#include <cfloat>
#include <stdexcept>

#if !defined(_WIN32)
#include <unistd.h>
#endif

#include "pages.hpp"
#include "parallel.hpp"
#include "torch_abi.hpp"

#if defined(FOCAL_X86_64)
#include "processor.hpp"
#endif

namespace focal {

#define FOCAL_DECLARE(isa) \
  namespace isa {          \
  extern const Kernels kernels; \
  }

#if defined(FOCAL_X86_64)
FOCAL_DECLARE(x86_64_v2)
FOCAL_DECLARE(x86_64_v3)
FOCAL_DECLARE(x86_64_v4)
#else
FOCAL_DECLARE(baseline)
#endif

namespace {

struct Candidate {
  const Kernels* kernels;
  bool supported;
};

// Best first.
std::vector<Candidate> candidates() {
#if defined(FOCAL_X86_64)
  const int level = x86_64_level();
  return {{&x86_64_v4::kernels, level >= 4}, {&x86_64_v3::kernels, level >= 3}, {&x86_64_v2::kernels, level >= 2}};
#else
  return {{&baseline::kernels, true}};
#endif
}

std::atomic<const Kernels*> chosen{nullptr};
std::atomic<int> threads_per_call{1};
std::atomic<Team> known_team{nullptr};
std::atomic<long> home_of_team{0};

long process() {
#if defined(_WIN32)
  return 0;
#else
  return long(getpid());
#endif
}

Team team_of(bool wanted) { return wanted && home_of_team == process() ? known_team.load() : nullptr; }

const Kernels& kernels() {
  const Kernels* known = chosen;
  if (known == nullptr) throw std::runtime_error("no instruction set has been selected");
  return *known;
}

// The chunks, not the number of threads, determine the rounding of a sum.
constexpr int64_t binary_chunk = 1 << 15, softmax_logits_per_chunk = 1 << 15;

// Starting a thread costs about as much as 20,000 elements of a binary loss, waking one of a team a fifth of that.
int64_t fewest_per_thread(Team team) { return team == nullptr ? 1 << 17 : 1 << 15; }

Operand number(double value) {
  Operand result;
  result.value = value;
  return result;
}

// Limits an infinite number to the largest: a framework may have made a large one infinite.
void bound(Operand& x) { x.value = std::min(x.value, DBL_MAX); }

Binary completed(Binary call) {
  const bool scored = call.family == Family::varifocal || call.family == Family::matchability;
  const bool weighed = call.family <= Family::p_t_loss || call.family == Family::poly1;
  if (!weighed) call.positive = number(1);
  if (!weighed && !scored) call.negative = number(1);
  bool in_float = call.logits.dtype != DType::f64;
  for (Operand* x : {&call.gamma, &call.positive, &call.negative}) {
    bound(*x);
    in_float = in_float && (x->data != nullptr || fits_float(x->value));
  }
  call.member.exponent = std::min(call.member.exponent, DBL_MAX);
  for (double number : {call.member.exponent, call.member.clip, call.member.epsilon})
    in_float = in_float && fits_float(number);
  call.in_double = !in_float;
  return call;
}

// The numbers themselves, or a copy with infinite ones limited to the largest.
const double* bounded(const double* numbers, int64_t count, std::vector<double>& copy) {
  if (std::none_of(numbers, numbers + count, [](double x) { return x > DBL_MAX; })) return numbers;
  for (int64_t k = 0; k < count; ++k) copy.push_back(std::min(numbers[k], DBL_MAX));
  return copy.data();
}

Softmax completed(Softmax call, std::vector<double>& gamma, std::vector<double>& weight) {
  call.gamma = bounded(call.gamma, call.gammas, gamma);
  call.weight = bounded(call.weight, call.weights, weight);
  call.in_double = call.dtype == DType::f64 || !std::all_of(call.gamma, call.gamma + call.gammas, fits_float) ||
                   !std::all_of(call.weight, call.weight + call.weights, fits_float);
  return call;
}

// Asks for large pages for results whose memory may be new.
template <class Call>
void prepare(const Call& call, DType dtype, int64_t values, int64_t derivatives) {
  const int64_t of_derivatives = item_size(slope_dtype(call, dtype));
  ask_for_large_pages(call.value, values * item_size(result_dtype(dtype, call.values_at_least_float32)));
  ask_for_large_pages(call.gradient, derivatives * of_derivatives);
  ask_for_large_pages(call.hessian, derivatives * of_derivatives);
}

}  // namespace

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Candidate& candidate : candidates())
    if (candidate.supported) names.push_back(candidate.kernels->name);
  return names;
}

void select(const std::string& name) {
  for (const Candidate& candidate : candidates())
    if (candidate.supported && name == candidate.kernels->name) {
      chosen = candidate.kernels;
      return;
    }
  throw std::invalid_argument("no such instruction set: " + name);
}

Outcome run(const Binary& given, int threads, bool of_team, Poll interrupted) {
  const BinaryKernel kernel = kernels().binary;
  const Team team = team_of(of_team);
  const Binary call = completed(given);
  prepare(call, call.logits.dtype, call.shape.size(), call.shape.size());
  return in_chunks(call.shape.size(), binary_chunk, fewest_per_thread(team), threads, team, interrupted,
                   [&](int64_t begin, int64_t end, Outcome& outcome) { kernel(call, begin, end, outcome); });
}

Outcome run(const Softmax& given, int threads, bool of_team, Poll interrupted) {
  const SoftmaxKernel kernel = kernels().softmax;
  const Team team = team_of(of_team);
  std::vector<double> gamma, weight;
  const Softmax call = completed(given, gamma, weight);
  const int64_t classes = std::max<int64_t>(1, call.classes), examples = call.outer * call.inner;
  prepare(call, call.dtype, examples, examples * call.classes);
  const int64_t chunk = std::max<int64_t>(16, softmax_logits_per_chunk / classes);
  return in_chunks(examples, chunk, std::max<int64_t>(1, fewest_per_thread(team) / classes), threads, team, interrupted,
                   [&](int64_t begin, int64_t end, Outcome& outcome) { kernel(call, begin, end, outcome); });
}

void use_team(uintptr_t address, bool stable) {
  if (stable) torch_abi::parallel_for = reinterpret_cast<torch_abi::ParallelFor>(address);
  known_team = stable ? &torch_abi::team : reinterpret_cast<Team>(address);
  home_of_team = process();
}

void set_num_threads(int n) { threads_per_call = n; }
int num_threads() { return threads_per_call; }

const EntryPoints* entry_points() {
  static const EntryPoints table{[](const Binary& call, int threads) { return run(call, threads); },
                                 [](const Softmax& call, int threads) { return run(call, threads); }, num_threads};
  return &table;
}

}  // namespace focal
