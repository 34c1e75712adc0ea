// The handlers for XLA. All arrays are in C order and of one rank, with axes of length 1 where they broadcast, so that
// leading axes that `vmap` adds to some of them need no copy. Numbers come as arrays too, and are read here.
#include "jax_ffi.hpp"

#include <exception>
#include <stdexcept>
#include <string_view>
#include <type_traits>
#include <vector>

#include "dispatch.hpp"
#include "xla_abi.hpp"

namespace focal {
namespace {

using xla::Attributes;
using xla::Buffer;
using xla::CallFrame;

DType dtype_of(xla::Type type) {
  switch (type) {
    // <tables: dtypes> Written by tools/tables.py; `make tables` writes it anew.
    case xla::Type::f32: return DType::f32;
    case xla::Type::f64: return DType::f64;
    case xla::Type::f16: return DType::f16;
    case xla::Type::bf16: return DType::bf16;
    case xla::Type::boolean: return DType::boolean;
    case xla::Type::u8: return DType::u8;
    case xla::Type::i8: return DType::i8;
    case xla::Type::i16: return DType::i16;
    case xla::Type::i32: return DType::i32;
    case xla::Type::i64: return DType::i64;
    // </tables: dtypes>
  }
  throw std::invalid_argument("an array of a dtype that the kernels do not read");
}

const Buffer& buffer(const xla::Buffers& buffers, int64_t k) {
  if (k >= buffers.count || buffers.kinds[k] != xla::buffer_kind) throw std::invalid_argument("too few arrays");
  const Buffer& result = *static_cast<const Buffer*>(buffers.items[k]);
  if (result.header.size < xla::buffer_size) throw std::invalid_argument("unknown layout of an array");
  return result;
}

// The memory of result k, or null if it is not wanted.
void* result(const CallFrame& frame, int64_t k) {
  if (k >= frame.results.count) return nullptr;
  return buffer(frame.results, k).data;
}

template <class Number>
Number attribute(const Attributes& attributes, std::string_view name) {
  constexpr xla::Type type = std::is_same_v<Number, double> ? xla::Type::f64 : xla::Type::i64;
  for (int64_t k = 0; k < attributes.count; ++k) {
    if (std::string_view(attributes.names[k]->start, attributes.names[k]->length) != name) continue;
    const auto* scalar = static_cast<const xla::Scalar*>(attributes.items[k]);
    if (attributes.kinds[k] != xla::scalar_kind || scalar->type != type) break;
    return *static_cast<const Number*>(scalar->value);
  }
  throw std::invalid_argument("an attribute is missing, or of another type");
}

double number(const Buffer& array, int64_t position) {
  if (array.type == xla::Type::f64) return static_cast<const double*>(array.data)[position];
  if (array.type == xla::Type::f32) return static_cast<const float*>(array.data)[position];
  throw std::invalid_argument("a parameter must be float32 or float64");
}

// Strides in elements, 0 where the array broadcasts.
std::vector<int64_t> strides_of(const Buffer& array) {
  std::vector<int64_t> strides(array.rank);
  int64_t step = 1;
  for (int64_t d = array.rank - 1; d >= 0; --d) {
    strides[d] = array.dims[d] == 1 ? 0 : step;
    step *= array.dims[d];
  }
  return strides;
}

// ---------------------------------------------------------------------------------------------------------------

// Axes of length 1, which `vmap` adds, are left out because a kernel takes few axes.
Operand operand(const Buffer& array, const Buffer& value) {
  if (array.rank != value.rank) throw std::invalid_argument("arrays of different ranks");
  Operand result;
  result.data = array.data;
  result.dtype = dtype_of(array.type);
  const std::vector<int64_t> strides = strides_of(array);
  for (int64_t d = 0, axis = 0; d < array.rank; ++d)
    if (value.dims[d] != 1) result.strides[axis++] = strides[d];
  return result;
}

// A gamma or a weight, as a number if it is one, for which there are faster loops.
Operand parameter(const Buffer& array, const Buffer& value) {
  for (int64_t d = 0; d < array.rank; ++d)
    if (array.dims[d] != 1) return operand(array, value);
  Operand result;
  result.value = number(array, 0);
  return result;
}

Member member(const CallFrame& frame, const Operand& gamma) {
  if (gamma.data != nullptr) throw std::invalid_argument("the gamma of a member must be one number");
  return {number(buffer(frame.arguments, 6), 0), number(buffer(frame.arguments, 7), 0),
          number(buffer(frame.arguments, 8), 0), attribute<int64_t>(frame.attributes, "detached") != 0};
}

void binary(const CallFrame& frame) {
  const Buffer& value = buffer(frame.results, 0);
  Binary call;
  for (int64_t d = 0; d < value.rank; ++d) {
    if (value.dims[d] == 1) continue;
    if (call.shape.rank == max_rank) throw std::invalid_argument("too many axes");
    call.shape.sizes[call.shape.rank++] = value.dims[d];
  }
  call.family = Family(attribute<int64_t>(frame.attributes, "family"));
  call.smoothing = number(buffer(frame.arguments, 5), 0);
  call.logits = operand(buffer(frame.arguments, 0), value);
  call.labels = operand(buffer(frame.arguments, 1), value);
  call.gamma = parameter(buffer(frame.arguments, 2), value);
  call.positive = parameter(buffer(frame.arguments, 3), value);
  call.negative = parameter(buffer(frame.arguments, 4), value);
  if (frame.arguments.count > 6) call.member = member(frame, call.gamma);
  call.upstream.value = 1;
  if (call.shape.rank == 0) call.shape.sizes[call.shape.rank++] = 1;
  call.derivatives_at_least_float32 = true;
  call.value = result(frame, 0);
  call.gradient = result(frame, 1);
  call.hessian = result(frame, 2);
  run(call, num_threads());
}

// ---------------------------------------------------------------------------------------------------------------

// The axes before the classes. The last ones, with the same layout in all arrays, are merged into one axis of a call;
// the call is repeated over the others, which only `vmap` adds.
struct Leading {
  std::vector<int64_t> sizes;
  int64_t calls = 1;

  // The offset of an array in call i.
  int64_t offset(const std::vector<int64_t>& strides, int64_t i) const {
    int64_t sum = 0;
    for (int64_t d = int64_t(sizes.size()) - 1; d >= 0; i /= sizes[d--]) sum += i % sizes[d] * strides[d];
    return sum;
  }
};

Leading merge(Softmax& call, const Buffer& value, int64_t axis, const std::vector<int64_t>& logits,
              const std::vector<int64_t>& labels, const std::vector<int64_t>& gammas, const Buffer& gamma,
              const Buffer& weight) {
  const bool of_examples = gamma.dims[axis] == 1;
  call.outer = 1;
  int64_t d = axis - 1;
  for (; d >= 0; --d) {
    const int64_t n = value.dims[d];
    if (n == 1) continue;
    if ((!of_examples && gamma.dims[d] != 1) || weight.dims[d] != 1) break;
    if (call.outer == 1) {
      call.strides[0] = logits[d];
      call.label_strides[0] = labels[d];
      call.example_gamma.strides[0] = gammas[d];
    } else if (logits[d] != call.outer * call.strides[0] || labels[d] != call.outer * call.label_strides[0] ||
               gammas[d] != call.outer * call.example_gamma.strides[0]) {
      break;
    }
    call.outer *= n;
  }
  Leading leading;
  for (int64_t k = 0; k <= d; ++k) {
    leading.sizes.push_back(value.dims[k]);
    leading.calls *= value.dims[k];
  }
  return leading;
}

// One number, or one per class.
std::vector<double> per_class(const Buffer& array, int64_t axis, int64_t offset) {
  std::vector<double> numbers;
  for (int64_t k = 0; k < array.dims[axis]; ++k) numbers.push_back(number(array, offset + k));
  return numbers;
}

const void* shifted(const Buffer& array, int64_t elements) {
  return static_cast<const char*>(array.data) + elements * item_size(dtype_of(array.type));
}

// Gamma of call i: one number, one per class, or one per example, which the axes behind the classes all have or all
// lack.
void set_gamma(Softmax& call, const Buffer& gamma, const Buffer& value, int64_t axis, int64_t offset,
               std::vector<double>& numbers) {
  bool of_examples = call.example_gamma.strides[0] != 0;
  for (int64_t d = axis; d < value.rank; ++d) {
    if (gamma.dims[d + 1] == 1) continue;
    if (gamma.dims[d + 1] != value.dims[d]) throw std::invalid_argument("gamma and the examples do not go together");
    of_examples = true;
    call.example_gamma.strides[1] = 1;
  }
  if (of_examples && gamma.dims[axis] == 1) {
    call.example_gamma.data = shifted(gamma, offset);
    call.example_gamma.dtype = dtype_of(gamma.type);
  } else {
    numbers = per_class(gamma, axis, offset);
  }
  call.gamma = numbers.data();
  call.gammas = int64_t(numbers.size());
}

void softmax(const CallFrame& frame) {
  const Buffer &x = buffer(frame.arguments, 0), &y = buffer(frame.arguments, 1);
  const Buffer &gamma = buffer(frame.arguments, 2), &weight = buffer(frame.arguments, 3);
  const Buffer& value = buffer(frame.results, 0);  // lacks the axis of the classes
  const int64_t axis = x.rank + attribute<int64_t>(frame.attributes, "axis");
  if (axis < 0 || axis >= x.rank || y.rank != x.rank || gamma.rank != x.rank || weight.rank != x.rank ||
      value.rank != x.rank - 1)
    throw std::invalid_argument("arrays of different ranks");
  const std::vector<int64_t> logits = strides_of(x), labels = strides_of(y);
  const std::vector<int64_t> gammas = strides_of(gamma), weights = strides_of(weight);
  Softmax call;
  call.sparse = attribute<int64_t>(frame.attributes, "sparse");
  call.has_ignored = attribute<int64_t>(frame.attributes, "has_ignored");
  call.ignored = attribute<int64_t>(frame.attributes, "ignored");
  call.smoothing = number(buffer(frame.arguments, 4), 0);
  call.dtype = dtype_of(x.type);
  call.label_dtype = dtype_of(y.type);
  call.classes = x.dims[axis];
  call.inner = 1;
  for (int64_t d = axis; d < value.rank; ++d) call.inner *= value.dims[d];
  const Leading leading = merge(call, value, axis, logits, labels, gammas, gamma, weight);
  call.strides[1] = call.inner;
  call.label_strides[1] = call.sparse ? 0 : call.inner;
  call.strides[2] = call.label_strides[2] = 1;
  call.upstream.value = 1;
  call.derivatives_at_least_float32 = true;
  const int64_t values = call.outer * call.inner, slopes = values * call.classes;
  char *const to_value = static_cast<char*>(result(frame, 0)), *const to_slope = static_cast<char*>(result(frame, 1));
  for (int64_t i = 0; i < leading.calls; ++i) {
    std::vector<double> g;
    set_gamma(call, gamma, value, axis, leading.offset(gammas, i), g);
    const auto w = per_class(weight, axis, leading.offset(weights, i));
    call.weight = w.data();
    call.weights = int64_t(w.size());
    call.logits = shifted(x, leading.offset(logits, i));
    call.labels = shifted(y, leading.offset(labels, i));
    call.value = to_value + i * values * item_size(call.dtype);
    if (to_slope != nullptr) call.gradient = to_slope + i * slopes * item_size(result_dtype(call.dtype, true));
    run(call, num_threads());
  }
}

// ---------------------------------------------------------------------------------------------------------------

// The members read here are the same in all minor versions, so the handler answers with the version of its caller.
// Before JAX 0.8.1 XLA asks without its API; its minor version is 1 there.
void describe(const CallFrame& frame) {
  const auto* extension = reinterpret_cast<const xla::MetadataExtension*>(frame.header.extensions);
  if (extension->metadata->size < xla::metadata_size) throw std::invalid_argument("unknown layout of the metadata");
  xla::Version version{{sizeof(xla::Version), nullptr}, 0, 1};
  if (frame.api != nullptr && frame.api->version.major == version.major) version.minor = frame.api->version.minor;
  extension->metadata->version = version;
  extension->metadata->traits = 0;
}

template <void (*function)(const CallFrame&)>
xla::Error* handle(CallFrame* frame) {
  const auto fail = [&](const char* message) {
    xla::ErrorArguments arguments{{sizeof(xla::ErrorArguments), nullptr}, message, xla::invalid_argument};
    return frame->api->create_error(&arguments);
  };
  try {
    const xla::Extension* extension = frame->header.extensions;
    if (frame->header.size < xla::frame_size) return fail("focal_loss: unknown layout of a call");
    extension != nullptr && extension->kind == xla::metadata_kind ? describe(*frame) : function(*frame);
    return nullptr;
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}

}  // namespace

std::vector<XlaHandler> xla_handlers() {
  return {{"focal_loss_binary", reinterpret_cast<void (*)()>(&handle<binary>)},
          {"focal_loss_softmax", reinterpret_cast<void (*)()>(&handle<softmax>)}};
}

}  // namespace focal
