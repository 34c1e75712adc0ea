// The bindings for Python. Arrays come as (address, dtype, strides), which every framework can give, or as the tensors of
// the framework that `use_tensors` named; the caller keeps them alive and has checked shapes. Arrays of NumPy come as
// they are, in numpy_arrays.cpp.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <atomic>
#include <stdexcept>

#include "dispatch.hpp"
#include "jax_ffi.hpp"
#include "numpy_arrays.hpp"
#include "released.hpp"
#include "torch_abi.hpp"

namespace nb = nanobind;
using namespace focal;
using namespace nanobind::literals;

namespace {

int64_t integer(nb::handle object) { return nb::cast<int64_t>(object); }

std::atomic<const torch_abi::Exchange*> exchange{nullptr};  // calls may come from several threads at once

torch_abi::Tensor described(nb::handle tensor) {
  const torch_abi::Exchange* known = exchange;
  if (known == nullptr) throw std::invalid_argument("an operand must be a number or (address, dtype, strides)");
  torch_abi::Tensor result;
  if (known->describe(tensor.ptr(), &result) != 0) throw nb::python_error();
  if (result.device != torch_abi::on_host) throw std::invalid_argument("a tensor must be on the CPU");
  return result;
}

// A number, a tensor that broadcasts to the shape, or a tuple of an address, a dtype and a stride per axis.
Operand operand(nb::handle object, const Shape& shape) {
  Operand result;
  if (PyFloat_Check(object.ptr()) || PyLong_Check(object.ptr())) {
    result.value = nb::cast<double>(object);
    return result;
  }
  if (!nb::isinstance<nb::tuple>(object)) return torch_abi::operand(described(object), shape);
  const auto array = nb::borrow<nb::tuple>(object);
  const auto strides = nb::borrow<nb::tuple>(array[2]);
  if (int(nb::len(strides)) != shape.rank) throw std::invalid_argument("an operand must have a stride per axis");
  result.data = reinterpret_cast<const void*>(nb::cast<uintptr_t>(array[0]));
  result.dtype = DType(nb::cast<int>(array[1]));
  for (int d = 0; d < shape.rank; ++d) result.strides[d] = integer(strides[d]);
  return result;
}

// The same as `operand`, except that a single number is read here, because numbers have loops of their own.
Operand parameter(nb::handle object, const Shape& shape) {
  Operand result = operand(object, shape);
  read_single(result, shape.rank);
  return result;
}

void* address(uintptr_t value) { return reinterpret_cast<void*>(value); }

// Where a result goes: an address, 0 if it is not wanted, or a contiguous tensor.
void* result(nb::handle object) {
  if (PyLong_Check(object.ptr())) return address(nb::cast<uintptr_t>(object));
  const torch_abi::Tensor tensor = described(object);
  return static_cast<char*>(tensor.data) + tensor.byte_offset;
}

nb::tuple binary(int family, nb::tuple shape, nb::handle logits, nb::handle labels, nb::handle gamma,
                 nb::handle positive, nb::handle negative, nb::handle upstream, double smoothing, nb::handle value,
                 nb::handle gradient, nb::handle hessian, int threads, bool of_team, bool majorizer,
                 bool values_at_least_float32, double exponent, double clip, double epsilon, bool detached,
                 bool derivatives_in_float32) {
  Binary call;
  call.family = Family(family);
  call.member = {exponent, clip, epsilon, detached};
  call.shape.rank = int(nb::len(shape));
  if (call.shape.rank > max_rank) throw std::invalid_argument("too many axes");
  for (int d = 0; d < call.shape.rank; ++d) call.shape.sizes[d] = integer(shape[d]);
  call.logits = operand(logits, call.shape);
  call.labels = operand(labels, call.shape);
  call.gamma = parameter(gamma, call.shape);
  call.positive = parameter(positive, call.shape);
  call.negative = parameter(negative, call.shape);
  call.upstream = parameter(upstream, call.shape);
  call.smoothing = smoothing;
  call.value = result(value);
  call.gradient = result(gradient);
  call.hessian = result(hessian);
  call.majorizer = majorizer;
  call.values_at_least_float32 = values_at_least_float32;
  call.derivatives_in_float32 = derivatives_in_float32;
  Outcome outcome;
  if (call.shape.size() > 0) outcome = run_released(call, threads, of_team);  // an empty array has no number to read
  return nb::make_tuple(outcome.sum, outcome.first_bad);
}

// The logits and labels of a softmax. `shape` is (outer, classes, inner), or the axis of the classes of two tensors.
void place_rows(Softmax& call, nb::handle shape, nb::handle logits, nb::handle labels) {
  if (nb::isinstance<nb::tuple>(shape)) {
    const auto given = nb::borrow<nb::tuple>(shape);
    call.outer = integer(given[0]);
    call.classes = integer(given[1]);
    call.inner = integer(given[2]);
    const Operand x = operand(logits, {3, {call.outer, call.classes, call.inner}});
    const Operand y = operand(labels, {3, {call.outer, call.sparse ? 1 : call.classes, call.inner}});
    call.logits = x.data;
    call.dtype = x.dtype;
    call.labels = y.data;
    call.label_dtype = y.dtype;
    std::copy_n(x.strides, 3, call.strides);
    std::copy_n(y.strides, 3, call.label_strides);
    return;
  }
  const int axis = int(integer(shape));
  const torch_abi::Tensor x = described(logits), y = described(labels);
  if (axis < 0 || axis >= x.rank || y.rank != x.rank - (call.sparse ? 1 : 0))
    throw std::invalid_argument("labels and logits must have the axes of one call");
  int64_t outer, inner;
  call.classes = x.sizes[axis];
  call.strides[1] = x.strides[axis];
  torch_abi::join_axes(x, 0, axis, call.outer, call.strides[0]);
  torch_abi::join_axes(x, axis + 1, x.rank, call.inner, call.strides[2]);
  const int after = call.sparse ? axis : axis + 1;
  torch_abi::join_axes(y, 0, axis, outer, call.label_strides[0]);
  torch_abi::join_axes(y, after, y.rank, inner, call.label_strides[2]);
  if (!call.sparse) call.label_strides[1] = y.strides[axis];
  if (outer != call.outer || inner != call.inner || (!call.sparse && y.sizes[axis] != call.classes))
    throw std::invalid_argument("labels must have the shape of the logits");
  call.logits = static_cast<const char*>(x.data) + x.byte_offset;
  call.dtype = torch_abi::dtype_of(x);
  call.labels = static_cast<const char*>(y.data) + y.byte_offset;
  call.label_dtype = torch_abi::dtype_of(y);
}

nb::tuple softmax(nb::handle shape, nb::handle logits, nb::handle labels, bool sparse, nb::handle ignored,
                  nb::handle gamma, std::vector<double> weight, nb::handle upstream, double smoothing,
                  nb::handle value, nb::handle gradient, nb::handle hessian, int threads, bool of_team, bool majorizer,
                  bool values_at_least_float32, int64_t first_class, int64_t all_classes, uintptr_t parts,
                  uintptr_t whole, bool derivatives_in_float32) {
  Softmax call;
  call.sparse = sparse;
  place_rows(call, shape, logits, labels);
  const Shape examples{2, {call.outer, call.inner}};
  call.has_ignored = !ignored.is_none();
  if (call.has_ignored) call.ignored = integer(ignored);
  call.smoothing = smoothing;
  std::vector<double> gammas;
  if (nb::isinstance<nb::list>(gamma)) gammas = nb::cast<std::vector<double>>(gamma);
  else call.example_gamma = operand(gamma, examples);
  call.gamma = gammas.data();
  call.gammas = int64_t(gammas.size());
  call.weight = weight.data();
  call.weights = int64_t(weight.size());
  call.upstream = parameter(upstream, examples);
  call.value = result(value);
  call.gradient = result(gradient);
  call.hessian = result(hessian);
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

bool use_tensors(nb::capsule api) {
  const auto* table = static_cast<const torch_abi::Exchange*>(api.data());
  while (table != nullptr && table->major > torch_abi::known_major) table = table->previous;
  if (table == nullptr || table->major != torch_abi::known_major || table->describe == nullptr) return false;
  exchange = table;
  return true;
}

}  // namespace

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);
  m.def("instruction_sets", &instruction_sets, "The instruction sets that this machine runs, best first.");
  m.def("select", &focal::select, nb::arg("name"), "Run the kernels of this instruction set from now on.");
  m.def("set_num_threads", &set_num_threads, nb::arg("n"), "How many threads XLA and TensorFlow may start per call.");
  m.def("use_team", &use_team, "address"_a, "stable"_a = false,
        "The address of GOMP_parallel, or of `torch_parallel_for` if `stable`, for calls that ask for `of_team`.");
  m.def("use_tensors", &use_tensors, "api"_a,
        "The capsule `__dlpack_c_exchange_api__` of a framework whose tensors are operands from now on. Returns whether "
        "its version is known.");
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
