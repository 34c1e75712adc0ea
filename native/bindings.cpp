// The bindings for Python. Arrays come as (address, dtype, strides), which every framework can give; the caller keeps
// them alive and has checked shapes. Arrays of NumPy come as they are, in numpy_arrays.cpp.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "dispatch.hpp"
#include "jax_ffi.hpp"
#include "numpy_arrays.hpp"
#include "released.hpp"

namespace nb = nanobind;
using namespace focal;
using namespace nanobind::literals;

namespace {

int64_t integer(nb::handle object) { return nb::cast<int64_t>(object); }

// A number, or a tuple of an address, a dtype and as many strides as the call has axes.
Operand operand(nb::handle object, int rank) {
  Operand result;
  if (!nb::isinstance<nb::tuple>(object)) {
    result.value = nb::cast<double>(object);
    return result;
  }
  const auto array = nb::borrow<nb::tuple>(object);
  const auto strides = nb::borrow<nb::tuple>(array[2]);
  if (int(nb::len(strides)) != rank) throw std::invalid_argument("an operand must have a stride per axis");
  result.data = reinterpret_cast<const void*>(nb::cast<uintptr_t>(array[0]));
  result.dtype = DType(nb::cast<int>(array[1]));
  for (int d = 0; d < rank; ++d) result.strides[d] = integer(strides[d]);
  return result;
}

// As `operand`, except that a single number is read here, because numbers have loops of their own.
Operand parameter(nb::handle object, int rank) {
  Operand result = operand(object, rank);
  read_single(result, rank);
  return result;
}

void* address(uintptr_t value) { return reinterpret_cast<void*>(value); }

nb::tuple binary(int family, nb::tuple shape, nb::handle logits, nb::handle labels, nb::handle gamma,
                 nb::handle positive, nb::handle negative, nb::handle upstream, double smoothing, uintptr_t value,
                 uintptr_t gradient, uintptr_t hessian, int threads, bool of_team, bool majorizer,
                 bool values_at_least_float32, double exponent, double clip, double epsilon, bool detached,
                 bool derivatives_in_float32) {
  Binary call;
  call.family = Family(family);
  call.member = {exponent, clip, epsilon, detached};
  call.shape.rank = int(nb::len(shape));
  if (call.shape.rank > max_rank) throw std::invalid_argument("too many axes");
  for (int d = 0; d < call.shape.rank; ++d) call.shape.sizes[d] = integer(shape[d]);
  const int rank = call.shape.rank;
  call.logits = operand(logits, rank);
  call.labels = operand(labels, rank);
  call.gamma = parameter(gamma, rank);
  call.positive = parameter(positive, rank);
  call.negative = parameter(negative, rank);
  call.upstream = parameter(upstream, rank);
  call.smoothing = smoothing;
  call.value = address(value);
  call.gradient = address(gradient);
  call.hessian = address(hessian);
  call.majorizer = majorizer;
  call.values_at_least_float32 = values_at_least_float32;
  call.derivatives_in_float32 = derivatives_in_float32;
  Outcome outcome;
  if (call.shape.size() > 0) outcome = run_released(call, threads, of_team);  // an empty array has no number to read
  return nb::make_tuple(outcome.sum, outcome.first_bad);
}

nb::tuple softmax(nb::tuple shape, nb::handle logits, nb::handle labels, bool sparse, nb::handle ignored,
                  nb::handle gamma, std::vector<double> weight, nb::handle upstream, double smoothing,
                  uintptr_t value, uintptr_t gradient, uintptr_t hessian, int threads, bool of_team, bool majorizer,
                  bool values_at_least_float32, int64_t first_class, int64_t all_classes, uintptr_t parts,
                  uintptr_t whole, bool derivatives_in_float32) {
  Softmax call;
  call.outer = integer(shape[0]);
  call.classes = integer(shape[1]);
  call.inner = integer(shape[2]);
  const Operand x = operand(logits, 3), y = operand(labels, 3);
  call.logits = x.data;
  call.dtype = x.dtype;
  call.labels = y.data;
  call.label_dtype = y.dtype;
  for (int d = 0; d < 3; ++d) {
    call.strides[d] = x.strides[d];
    call.label_strides[d] = y.strides[d];
  }
  call.sparse = sparse;
  call.has_ignored = !ignored.is_none();
  if (call.has_ignored) call.ignored = integer(ignored);
  call.smoothing = smoothing;
  std::vector<double> gammas;
  if (nb::isinstance<nb::tuple>(gamma)) call.example_gamma = operand(gamma, 2);
  else gammas = nb::cast<std::vector<double>>(gamma);
  call.gamma = gammas.data();
  call.gammas = int64_t(gammas.size());
  call.weight = weight.data();
  call.weights = int64_t(weight.size());
  call.upstream = parameter(upstream, 2);
  call.value = address(value);
  call.gradient = address(gradient);
  call.hessian = address(hessian);
  call.majorizer = majorizer;
  call.values_at_least_float32 = values_at_least_float32;
  call.first_class = first_class;
  call.all_classes = all_classes;
  call.parts = address(parts);
  call.whole = address(whole);
  call.derivatives_in_float32 = derivatives_in_float32;
  const Outcome outcome = run_released(call, threads, of_team);
  return nb::make_tuple(outcome.sum, outcome.count, outcome.first_bad);
}

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);
  m.def("instruction_sets", &instruction_sets, "The instruction sets that this machine runs, best first.");
  m.def("select", &focal::select, nb::arg("name"), "Run the kernels of this instruction set from now on.");
  m.def("set_num_threads", &set_num_threads, nb::arg("n"), "How many threads XLA and TensorFlow may start per call.");
  m.def("use_team", &use_team, "address"_a, "The address of GOMP_parallel, for calls that ask for `of_team`.");
  m.def("binary", &binary, "family"_a, "shape"_a, "logits"_a, "labels"_a, "gamma"_a, "positive"_a, "negative"_a,
        "upstream"_a, "smoothing"_a, "value"_a, "gradient"_a, "hessian"_a, "threads"_a, "of_team"_a = false,
        "majorizer"_a = false, "values_at_least_float32"_a = false, "exponent"_a = 0.0, "clip"_a = 0.0,
        "epsilon"_a = 0.0, "detached"_a = false, "derivatives_in_float32"_a = false,
        "Fills the arrays at the addresses `value`, `gradient`, `hessian` (0: not wanted). Returns the sum of the "
        "values and the position of the first label that is none, or -1.");
  m.def("softmax", &softmax, "shape"_a, "logits"_a, "labels"_a, "sparse"_a, "ignored"_a.none(), "gamma"_a, "weight"_a,
        "upstream"_a, "smoothing"_a, "value"_a, "gradient"_a, "hessian"_a, "threads"_a, "of_team"_a = false,
        "majorizer"_a = false, "values_at_least_float32"_a = false, "first_class"_a = 0, "all_classes"_a = 0,
        "parts"_a = 0, "whole"_a = 0, "derivatives_in_float32"_a = false,
        "As `binary`. Gamma is a list of one number, of one per class, or an operand of the shape of the examples. "
        "Returns the sum, the number of examples not ignored, and the first label that is no class.");
  bind_numpy(m);
  m.def("entry_points", [] { return reinterpret_cast<uintptr_t>(entry_points()); },
        "The address of the kernels, for the TensorFlow library.");
  m.def("xla_handlers", [] {
    nb::dict handlers;
    for (const XlaHandler& handler : xla_handlers())
      handlers[handler.name] = nb::capsule(reinterpret_cast<void*>(handler.function), "xla._CUSTOM_CALL_TARGET");
    return handlers;
  });
}
