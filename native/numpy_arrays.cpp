// The bindings for arrays of NumPy, which are read as they are: their dtypes, shapes and strides here, in one visit.
// A call that is not of usual arrays is answered by None; its caller makes it usual, or computes it by the formula.
#include "numpy_arrays.hpp"

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <utility>

#include "released.hpp"

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

namespace nb = nanobind;
using namespace nanobind::literals;

namespace focal {
namespace {

PyArrayObject* array_of(nb::handle object) {
  return PyArray_CheckExact(object.ptr()) ? reinterpret_cast<PyArrayObject*>(object.ptr()) : nullptr;
}

// The dtype of ml_dtypes, which registers its numbers as of no kind that NumPy knows.
bool is_bfloat16(const PyArray_Descr* descr) {
  const nb::object name = nb::steal(PyType_GetName(descr->typeobj));
  if (!name.is_valid()) throw nb::python_error();
  return PyUnicode_CompareWithASCIIString(name.ptr(), "bfloat16") == 0;
}

// The code of a dtype, or false if the kernels have none.
bool dtype_of(PyArrayObject* array, DType& dtype) {
  const PyArray_Descr* descr = PyArray_DESCR(array);
  const auto size = PyDataType_ELSIZE(descr);
  const auto among = [&](std::initializer_list<DType> dtypes) {
    for (const DType candidate : dtypes)
      if (item_size(candidate) == size) return dtype = candidate, true;
    return false;
  };
  switch (descr->kind) {
    case 'f': return among({DType::f32, DType::f64, DType::f16});
    case 'i': return among({DType::i8, DType::i16, DType::i32, DType::i64});
    case 'u': return among({DType::u8});
    case 'b': return among({DType::boolean});
    default: return is_bfloat16(descr) && among({DType::bf16});
  }
}

bool is_floating(DType dtype) { return dtype <= DType::bf16; }

// An array that the kernels can read in place.
struct Array {
  const void* data = nullptr;
  DType dtype = DType::f64;
  int rank = 0;
  int64_t sizes[max_rank], strides[max_rank];  // in elements

  bool read(nb::handle object) {
    PyArrayObject* array = array_of(object);
    if (array == nullptr || !PyArray_ISBEHAVED_RO(array) || PyArray_NDIM(array) > max_rank) return false;
    if (!dtype_of(array, dtype)) return false;
    data = PyArray_DATA(array);
    rank = PyArray_NDIM(array);
    const int64_t size = item_size(dtype);
    for (int d = 0; d < rank; ++d) {
      sizes[d] = PyArray_DIM(array, d);
      strides[d] = PyArray_STRIDE(array, d) / size;
      if (PyArray_STRIDE(array, d) % size != 0) return false;
    }
    return true;
  }
};

bool number(nb::handle object, Operand& operand) {
  if (!PyFloat_CheckExact(object.ptr())) return false;
  operand.value = PyFloat_AsDouble(object.ptr());
  return true;
}

// Gives an array the strides with which it broadcasts to a shape; false if it does not.
bool broadcast(const Array& array, const int64_t* sizes, int rank, int64_t* strides) {
  const int missing = rank - array.rank;
  if (missing < 0) return false;
  for (int d = 0; d < missing; ++d) strides[d] = 0;
  for (int d = 0; d < array.rank; ++d) {
    const bool same = array.sizes[d] == sizes[missing + d];
    if (!same && array.sizes[d] != 1) return false;
    strides[missing + d] = same ? array.strides[d] : 0;
  }
  return true;
}

bool operand(nb::handle object, const Shape& shape, Operand& result) {
  if (number(object, result)) return true;
  Array array;
  if (!array.read(object) || !broadcast(array, shape.sizes, shape.rank, result.strides)) return false;
  result.data = array.data;
  result.dtype = array.dtype;
  return true;
}

// Some neighbouring axes as one; false if no single stride walks through them.
struct Axes {
  int64_t size = 1, stride = 0;

  bool join(const int64_t* sizes, const int64_t* strides, int begin, int end) {
    for (int d = end; d-- > begin;) {
      if (sizes[d] == 0) size = 0;
      if (sizes[d] == 1 || size == 0) continue;
      if (size == 1) stride = strides[d];
      else if (strides[d] != stride * size) return false;
      size *= sizes[d];
    }
    return true;
  }
};

// A new array, in C order. `like` has its dtype unless it is to be in float.
nb::object empty(nb::handle like, const int64_t* sizes, int rank, bool in_float) {
  npy_intp dims[max_rank];
  for (int d = 0; d < rank; ++d) dims[d] = sizes[d];
  PyArray_Descr* descr = in_float ? PyArray_DescrFromType(NPY_FLOAT) : PyArray_DESCR(array_of(like));
  if (!in_float) Py_INCREF(reinterpret_cast<PyObject*>(descr));
  PyObject* made = PyArray_NewFromDescr(&PyArray_Type, descr, rank, dims, nullptr, nullptr, 0, nullptr);
  if (made == nullptr) throw nb::python_error();
  return nb::steal(made);
}

void* data_of(nb::handle array) { return PyArray_DATA(array_of(array)); }

// The results of a call: arrays that are made for it, or the caller's for the derivatives.
struct Results {
  nb::object arrays[3];
  int count = 0;

  template <class Call>
  void of_caller(Call& call, nb::handle into, int64_t size) {
    const auto given = nb::cast<nb::tuple>(into);
    bool fit = nb::len(given) == 2;
    arrays[count++] = nb::none();
    for (size_t k = 0; fit && k < 2; ++k) {
      arrays[count] = nb::borrow(given[k]);
      PyArrayObject* each = array_of(arrays[count++]);
      fit = each != nullptr && PyArray_TYPE(each) == NPY_FLOAT && PyArray_ISCARRAY(each) && PyArray_SIZE(each) == size;
    }
    if (!fit)
      throw std::invalid_argument("derivatives go into two arrays in float, in C order, of the shape of the logits");
    call.derivatives_in_float32 = true;
    call.gradient = data_of(arrays[1]);
    call.hessian = data_of(arrays[2]);
  }

  void* add(nb::object array) {
    arrays[count] = std::move(array);
    return data_of(arrays[count++]);
  }

  // (arrays, sum, first invalid label or -1). An array without axes becomes a scalar.
  nb::object with(const Outcome& outcome, bool scalars) {
    nb::object found = nb::steal(PyTuple_New(count));
    for (int k = 0; found.is_valid() && k < count; ++k) {
      PyObject* each = arrays[k].release().ptr();
      if (scalars) each = PyArray_Return(reinterpret_cast<PyArrayObject*>(each));
      if (each == nullptr || PyTuple_SetItem(found.ptr(), k, each) != 0) throw nb::python_error();
    }
    if (!found.is_valid()) throw nb::python_error();
    return nb::make_tuple(std::move(found), outcome.sum, outcome.first_bad);
  }
};

nb::object binary(nb::handle logits, nb::handle labels, int threads, nb::handle gamma, nb::handle positive,
                  nb::handle negative, nb::handle upstream, double smoothing, int order, bool majorizer,
                  nb::handle into, bool values_at_least_float32, int family, double exponent, double clip,
                  double epsilon, bool detached) {
  Array x;
  if (!x.read(logits) || !is_floating(x.dtype)) return nb::none();
  Binary call;
  call.shape.rank = x.rank;
  std::copy(x.sizes, x.sizes + x.rank, call.shape.sizes);
  call.logits.data = x.data;
  call.logits.dtype = x.dtype;
  std::copy(x.strides, x.strides + x.rank, call.logits.strides);
  const bool fit = operand(labels, call.shape, call.labels) && operand(gamma, call.shape, call.gamma) &&
                   operand(positive, call.shape, call.positive) && operand(negative, call.shape, call.negative) &&
                   operand(upstream, call.shape, call.upstream);
  if (!fit) return nb::none();
  const int64_t size = call.shape.size();
  if (size > 0)
    for (Operand* parameter : {&call.gamma, &call.positive, &call.negative, &call.upstream})
      read_single(*parameter, x.rank);
  call.family = Family(family);
  call.member = {exponent, clip, epsilon, detached};
  call.smoothing = smoothing;
  call.majorizer = majorizer;
  call.values_at_least_float32 = values_at_least_float32;
  Results results;
  if (into.is_none()) {
    const bool wide = values_at_least_float32 && x.dtype != DType::f64;
    void** places[] = {&call.value, &call.gradient, &call.hessian};
    for (int k = 0; k <= order; ++k) *places[k] = results.add(empty(logits, x.sizes, x.rank, wide && k == 0));
  } else {
    results.of_caller(call, into, size);
  }
  Outcome outcome;
  if (size > 0) outcome = run_released(call, threads, false);  // an empty array has no number to read
  return results.with(outcome, x.rank == 0 && into.is_none());
}

// The labels of `call`, which has the logits `x`; false if they do not go with these in place.
bool softmax_labels(nb::handle labels, const Array& x, int axis, Softmax& call) {
  Array y;
  if (!y.read(labels)) return false;
  const bool without = call.sparse && y.rank == x.rank - 1;
  if (!without && y.rank != x.rank) return false;
  for (int d = 0; d < y.rank; ++d)
    if (y.sizes[d] != (without ? x.sizes[d + (d >= axis)] : call.sparse && d == axis ? 1 : x.sizes[d])) return false;
  Axes outer, inner;
  if (!outer.join(y.sizes, y.strides, 0, axis) || !inner.join(y.sizes, y.strides, axis + !without, y.rank))
    return false;
  call.labels = y.data;
  call.label_dtype = y.dtype;
  call.label_strides[0] = outer.stride;
  call.label_strides[1] = call.sparse ? 0 : y.strides[axis];
  call.label_strides[2] = inner.stride;
  return true;
}

// A gamma or a weight: a number, or one per class, both in double, or of examples, whose class axis has length 1.
bool softmax_parameter(nb::handle object, const Array& x, int axis, double& one, const double*& numbers,
                       int64_t& count, Operand* of_examples) {
  numbers = &one;
  count = 1;
  if (PyFloat_CheckExact(object.ptr())) {
    one = PyFloat_AsDouble(object.ptr());
    return true;
  }
  Array array;
  if (!array.read(object)) return false;
  if (array.rank < 2) {
    const bool contiguous = array.rank == 0 || array.strides[0] == 1 || array.sizes[0] == 1;
    if (array.dtype != DType::f64 || !contiguous) return false;
    numbers = static_cast<const double*>(array.data);
    count = array.rank == 0 ? 1 : array.sizes[0];
    return count == 1 || count == x.sizes[axis];
  }
  int64_t sizes[max_rank], strides[max_rank];
  for (int d = 0; d < x.rank; ++d) sizes[d] = d == axis ? 1 : x.sizes[d];
  Axes outer, inner;
  if (of_examples == nullptr || array.rank != x.rank || !broadcast(array, sizes, x.rank, strides) ||
      !outer.join(sizes, strides, 0, axis) || !inner.join(sizes, strides, axis + 1, x.rank))
    return false;
  of_examples->data = array.data;
  of_examples->dtype = array.dtype;
  of_examples->strides[0] = outer.stride;
  of_examples->strides[1] = inner.stride;
  numbers = nullptr;
  count = 0;
  return true;
}

// A number, or an array of the shape of the examples.
bool softmax_upstream(nb::handle object, const int64_t* sizes, int rank, int axis, Operand& result) {
  if (number(object, result)) return true;
  Array array;
  if (!array.read(object) || array.rank != rank || !std::equal(sizes, sizes + rank, array.sizes)) return false;
  Axes outer, inner;
  if (!outer.join(sizes, array.strides, 0, axis) || !inner.join(sizes, array.strides, axis, rank)) return false;
  result.data = array.data;
  result.dtype = array.dtype;
  result.strides[0] = outer.stride;
  result.strides[1] = inner.stride;
  read_single(result, 2);
  return true;
}

// Python warns of or refuses other calls: those of one class, and class indices in a dtype that has not all whole
// numbers.
bool is_usual(const Softmax& call) {
  const bool narrow = call.label_dtype == DType::f16 || call.label_dtype == DType::bf16;
  return call.classes > 1 && !(call.sparse && narrow);
}

nb::object softmax(nb::handle logits, nb::handle labels, int threads, int axis, bool sparse, nb::handle ignored,
                   nb::handle gamma, nb::handle weight, nb::handle upstream, double smoothing, int order,
                   bool majorizer, nb::handle into, bool is_checked) {
  Array x;
  if (!x.read(logits) || !is_floating(x.dtype) || axis < -x.rank || axis >= x.rank) return nb::none();
  if (axis < 0) axis += x.rank;
  Softmax call;
  call.sparse = sparse;
  Axes outer, inner;
  if (!outer.join(x.sizes, x.strides, 0, axis) || !inner.join(x.sizes, x.strides, axis + 1, x.rank))
    return nb::none();
  call.outer = outer.size;
  call.classes = x.sizes[axis];
  call.inner = inner.size;
  call.logits = x.data;
  call.dtype = x.dtype;
  call.strides[0] = outer.stride;
  call.strides[1] = x.strides[axis];
  call.strides[2] = inner.stride;
  int64_t rest[max_rank];
  for (int d = 0; d < x.rank - 1; ++d) rest[d] = x.sizes[d + (d >= axis)];
  double one[2];
  const bool fit = call.classes > 0 && softmax_labels(labels, x, axis, call) && (is_checked || is_usual(call)) &&
                   softmax_parameter(gamma, x, axis, one[0], call.gamma, call.gammas, &call.example_gamma) &&
                   softmax_parameter(weight, x, axis, one[1], call.weight, call.weights, nullptr) &&
                   softmax_upstream(upstream, rest, x.rank - 1, axis, call.upstream);
  if (!fit) return nb::none();
  call.has_ignored = !ignored.is_none();
  if (call.has_ignored) call.ignored = nb::cast<int64_t>(ignored);
  call.smoothing = smoothing;
  call.majorizer = majorizer;
  Results results;
  if (into.is_none()) {
    call.value = results.add(empty(logits, rest, x.rank - 1, false));
    if (order > 0) call.gradient = results.add(empty(logits, x.sizes, x.rank, false));
    if (order > 1) call.hessian = results.add(empty(logits, x.sizes, x.rank, false));
  } else {
    results.of_caller(call, into, call.outer * call.classes * call.inner);
  }
  const Outcome outcome = run_released(call, threads, false);
  return results.with(outcome, x.rank == 1 && into.is_none());
}

void* import_numpy() {
  import_array();
  return nullptr;
}

}  // namespace

void bind_numpy(nb::module_& m) {
  import_numpy();
  if (PyErr_Occurred()) throw nb::python_error();
  m.def("binary_of_numpy", &binary, "logits"_a, "labels"_a, "threads"_a, "gamma"_a, "positive"_a, "negative"_a,
        "upstream"_a, "smoothing"_a, "order"_a, "majorizer"_a, "into"_a.none(), "values_at_least_float32"_a,
        "family"_a, "exponent"_a = 0.0, "clip"_a = 0.0, "epsilon"_a = 0.0, "detached"_a = false,
        "(results, sum of the values, position of the first invalid label or -1), the results being the value and the "
        "derivatives up to `order`, or None and `into`. Each argument is a float or an array that broadcasts to the "
        "logits. None for any other argument.");
  m.def("softmax_of_numpy", &softmax, "logits"_a, "labels"_a, "threads"_a, "axis"_a, "sparse"_a, "ignored"_a.none(),
        "gamma"_a, "weight"_a, "upstream"_a, "smoothing"_a, "order"_a, "majorizer"_a, "into"_a.none(), "is_checked"_a,
        "As `binary_of_numpy`. None also where Python warns or refuses, unless it `is_checked`.");
}

}  // namespace focal
