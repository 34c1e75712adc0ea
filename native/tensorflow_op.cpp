// TensorFlow ops that call the kernels: shapes and strides only, no mathematics.
//
// Operands broadcast to the result by NumPy's rules. The last output of each op is the position of the first invalid
// label, or -1: an op cannot raise an error that shows the labels, but its caller can. An op with "Total" in its name
// gives the sum of all losses times a number, and the gradient of that in the logits, in one pass.
#include <algorithm>
#include <exception>
#include <vector>

#include "dispatch.hpp"
#include "tensorflow_abi.hpp"

namespace {

using namespace focal;

const EntryPoints* kernels = nullptr;

struct Failure : std::exception {
  explicit Failure(const char* message) : message(message) {}
  const char* what() const noexcept override { return message; }
  const char* message;
};

class Status {
 public:
  Status() : status_(tf::NewStatus()) {}
  ~Status() { tf::DeleteStatus(status_); }
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
  operator tf::Status*() { return status_; }
  bool ok() const { return tf::GetCode(status_) == tf::ok; }
  void check(const char* what) const {
    if (!ok()) throw Failure(what);
  }

 private:
  tf::Status* status_;
};

DType dtype_of(tf::Type type) {
  switch (type) {
    // <tables: dtypes> Written by tools/tables.py; `make tables` writes it anew.
    case tf::float32: return DType::f32;
    case tf::float64: return DType::f64;
    case tf::half: return DType::f16;
    case tf::bfloat16: return DType::bf16;
    case tf::boolean: return DType::boolean;
    case tf::uint8: return DType::u8;
    case tf::int8: return DType::i8;
    case tf::int16: return DType::i16;
    case tf::int32: return DType::i32;
    case tf::int64: return DType::i64;
    // </tables: dtypes>
  }
  throw Failure("focal_loss: a dtype that the kernels do not know");
}

// An input or output, held while a kernel runs. No caller passes more axes than the kernels take.
class Tensor {
 public:
  Tensor(tf::Context* context, int index) {
    Status status;
    tf::GetInput(context, index, &tensor_, status);
    status.check("focal_loss: an input is missing");
    type = tf::TensorType(tensor_);
    shape.rank = std::min(tf::NumDims(tensor_), max_rank);
    for (int d = 0; d < shape.rank; ++d) shape.sizes[d] = tf::Dim(tensor_, d);
  }
  Tensor(tf::Context* context, int index, tf::Type type, const Shape& shape, int64_t item) : type(type), shape(shape) {
    Status status;
    tensor_ = tf::AllocateOutput(context, index, type, shape.sizes, shape.rank, size_t(item * shape.size()), status);
    status.check("focal_loss: no memory for the result");
  }
  ~Tensor() { tf::DeleteTensor(tensor_); }
  Tensor(const Tensor&) = delete;
  Tensor& operator=(const Tensor&) = delete;
  void* data() const { return tf::TensorData(tensor_); }
  DType dtype() const { return dtype_of(type); }

  tf::Type type;
  Shape shape;

 private:
  tf::Tensor* tensor_ = nullptr;
};

void broadcast(const Shape& from, Shape& to) {
  if (from.rank > to.rank) {
    std::copy_backward(to.sizes, to.sizes + to.rank, to.sizes + from.rank);
    std::fill(to.sizes, to.sizes + from.rank - to.rank, 1);
    to.rank = from.rank;
  }
  for (int d = 0; d < from.rank; ++d) {
    const int64_t size = from.sizes[d];
    int64_t& common = to.sizes[to.rank - from.rank + d];
    if (size != 1 && common != 1 && size != common) throw Failure("focal_loss: shapes that do not broadcast");
    if (common == 1) common = size;
  }
}

// A dense array, viewed with the shape to which it broadcasts.
Operand operand(const Tensor& tensor, const Shape& shape) {
  Operand result;
  result.data = tensor.data();
  result.dtype = tensor.dtype();
  int64_t stride = 1;
  for (int d = tensor.shape.rank - 1; d >= 0; --d) {
    if (tensor.shape.sizes[d] != 1) result.strides[shape.rank - tensor.shape.rank + d] = stride;
    stride *= tensor.shape.sizes[d];
  }
  return result;
}

// The same as `operand`, except that a single float32 or float64 becomes a number, for which there are faster kernels.
Operand parameter(const Tensor& tensor, const Shape& shape) {
  const bool narrow = tensor.type == tf::float32;
  if (tensor.shape.size() != 1 || !(narrow || tensor.type == tf::float64)) return operand(tensor, shape);
  Operand result;
  const void* data = tensor.data();
  result.value = narrow ? double(*static_cast<const float*>(data)) : *static_cast<const double*>(data);
  return result;
}

double number(const Tensor& tensor) {
  if (tensor.shape.size() != 1) throw Failure("focal_loss: a single number is needed");
  return parameter(tensor, Shape{}).value;
}

void report(tf::Context* context, int64_t first_bad, int output = 1) {
  const Tensor result(context, output, tf::int64, Shape{}, sizeof first_bad);
  *static_cast<int64_t*>(result.data()) = first_bad;
}

Outcome run(const Binary& call) { return kernels->binary(call, kernels->num_threads()); }
Outcome run(const Softmax& call) { return kernels->softmax(call, kernels->num_threads()); }

// The gradient is in float at least: it is multiplied once more before it is rounded.
template <class Call>
void compute_total(tf::Context* context, Call& call, const Shape& shape, DType logits, double factor) {
  const DType dtype = result_dtype(logits, true);
  const tf::Type type = dtype == DType::f64 ? tf::float64 : tf::float32;
  const Tensor slope(context, 1, type, shape, item_size(dtype));
  call.derivatives_at_least_float32 = true;
  call.upstream = Operand{};
  call.upstream.value = factor;
  call.gradient = slope.data();
  const Outcome outcome = run(call);
  const Tensor total(context, 0, type, Shape{}, item_size(dtype));
  if (type == tf::float64)
    *static_cast<double*>(total.data()) = outcome.sum * factor;
  else
    *static_cast<float*>(total.data()) = float(outcome.sum * factor);
  report(context, outcome.first_bad, 2);
}

// ---------------------------------------------------------------------------------------------------------------
// Binary
// ---------------------------------------------------------------------------------------------------------------

struct BinaryAttributes {
  int64_t order = 0, family = 0;

  explicit BinaryAttributes(tf::Construction* construction, tf::Status* status) {
    tf::OpKernelConstruction_GetAttrInt64(construction, "order", &order, status);
    tf::OpKernelConstruction_GetAttrInt64(construction, "family", &family, status);
  }

  void compute(tf::Context* context, bool total, const Member& member = {}) const {
    const Tensor logits(context, 0), labels(context, 1), gamma(context, 2), positive(context, 3), negative(context, 4),
        upstream(context, 5), smoothing(context, 6);
    Binary call;
    for (const Tensor* tensor : {&logits, &labels, &gamma, &positive, &negative, &upstream})
      broadcast(tensor->shape, call.shape);
    call.family = Family(family);
    call.member = member;
    call.logits = operand(logits, call.shape);
    call.labels = operand(labels, call.shape);
    call.gamma = parameter(gamma, call.shape);
    call.positive = parameter(positive, call.shape);
    call.negative = parameter(negative, call.shape);
    call.upstream = parameter(upstream, call.shape);
    call.smoothing = number(smoothing);
    if (total) return compute_total(context, call, call.shape, logits.dtype(), number(upstream));
    const Tensor result(context, 0, logits.type, call.shape, item_size(logits.dtype()));
    (order == 0 ? call.value : order == 1 ? call.gradient : call.hessian) = result.data();
    report(context, run(call).first_bad);
  }
};

// A family after `p_t_loss`, whose gamma is one number.
struct MemberAttributes : BinaryAttributes {
  unsigned char detached = 0;

  explicit MemberAttributes(tf::Construction* construction, tf::Status* status)
      : BinaryAttributes(construction, status) {
    tf::OpKernelConstruction_GetAttrBool(construction, "detached", &detached, status);
  }

  void compute(tf::Context* context, bool total) const {
    const Tensor gamma(context, 2), numbers(context, 7);
    if (gamma.shape.size() != 1 || numbers.shape.size() != 3) throw Failure("focal_loss: single numbers are needed");
    const double* number = static_cast<const double*>(numbers.data());
    BinaryAttributes::compute(context, total, {number[0], number[1], number[2], detached != 0});
  }
};

// ---------------------------------------------------------------------------------------------------------------
// Softmax
// ---------------------------------------------------------------------------------------------------------------

// The shape (before, at, after) of the axis.
Shape around(const Shape& shape, int64_t axis) {
  if (axis < 0 || axis >= shape.rank) throw Failure("focal_loss: no such axis");
  Shape result{3, {1, shape.sizes[axis], 1}};
  for (int d = 0; d < shape.rank; ++d)
    if (d != axis) result.sizes[d < axis ? 0 : 2] *= shape.sizes[d];
  return result;
}

std::vector<double> numbers(const Tensor& tensor, int64_t classes) {
  const int64_t n = tensor.shape.size();
  if (n != 1 && n != classes) throw Failure("focal_loss: a parameter must have one entry, or one per class");
  const double* data = static_cast<const double*>(tensor.data());
  return {data, data + n};
}

// An array with a number for each example, in C order.
Operand per_example(const Tensor& tensor, const Softmax& call) {
  if (tensor.shape.size() != call.outer * call.inner) throw Failure("focal_loss: gamma or upstream is not per example");
  Operand result;
  result.data = tensor.data();
  result.dtype = tensor.dtype();
  result.strides[0] = call.inner;
  result.strides[1] = 1;
  return result;
}

enum class Wanted { value, gradient, total };

struct SoftmaxAttributes {
  int64_t axis = 0, ignored = 0;
  unsigned char sparse = 0, has_ignored = 0;

  explicit SoftmaxAttributes(tf::Construction* construction, tf::Status* status) {
    tf::OpKernelConstruction_GetAttrInt64(construction, "axis", &axis, status);
    tf::OpKernelConstruction_GetAttrInt64(construction, "ignored", &ignored, status);
    tf::OpKernelConstruction_GetAttrBool(construction, "sparse", &sparse, status);
    tf::OpKernelConstruction_GetAttrBool(construction, "has_ignored", &has_ignored, status);
  }

  void describe(const Tensor& logits, const Tensor& labels, Softmax& call) const {
    const Shape shape = around(logits.shape, axis);
    call.outer = shape.sizes[0];
    call.classes = shape.sizes[1];
    call.inner = shape.sizes[2];
    call.logits = logits.data();
    call.dtype = logits.dtype();
    call.labels = labels.data();
    call.label_dtype = labels.dtype();
    call.sparse = sparse;
    call.has_ignored = has_ignored;
    call.ignored = ignored;
    if (labels.shape.size() != call.outer * call.inner * (sparse ? 1 : call.classes))
      throw Failure("focal_loss: labels and logits do not go together");
    const int64_t line = sparse ? call.inner : call.classes * call.inner;
    const int64_t strides[] = {call.classes * call.inner, call.inner, 1};
    const int64_t label_strides[] = {line, sparse ? 0 : call.inner, 1};
    std::copy_n(strides, 3, call.strides);
    std::copy_n(label_strides, 3, call.label_strides);
  }

  void compute(tf::Context* context, Wanted wanted) const {
    const Tensor logits(context, 0), labels(context, 1), gamma(context, 2), weight(context, 3), smoothing(context, 4);
    Softmax call;
    describe(logits, labels, call);
    const bool of_examples = gamma.shape.rank > 1;
    const std::vector<double> weights = numbers(weight, call.classes);
    const std::vector<double> gammas = of_examples ? std::vector<double>{} : numbers(gamma, call.classes);
    if (of_examples) call.example_gamma = per_example(gamma, call);
    call.gamma = gammas.data();
    call.gammas = int64_t(gammas.size());
    call.weight = weights.data();
    call.weights = int64_t(weights.size());
    call.smoothing = number(smoothing);
    call.upstream.value = 1;
    if (wanted == Wanted::total)
      return compute_total(context, call, logits.shape, logits.dtype(), number(Tensor(context, 5)));
    if (wanted == Wanted::gradient) return compute_gradient(context, logits, call);
    Shape examples{logits.shape.rank - 1, {}};
    for (int d = 0; d < examples.rank; ++d) examples.sizes[d] = logits.shape.sizes[d < axis ? d : d + 1];
    const Tensor result(context, 0, logits.type, examples, item_size(logits.dtype()));
    call.value = result.data();
    report(context, run(call).first_bad);
  }

  static void compute_gradient(tf::Context* context, const Tensor& logits, Softmax& call) {
    const Tensor upstream(context, 5);
    call.upstream = per_example(upstream, call);
    const Tensor result(context, 0, logits.type, logits.shape, item_size(logits.dtype()));
    call.gradient = result.data();
    report(context, run(call).first_bad);
  }
};

// ---------------------------------------------------------------------------------------------------------------
// Shapes that are known when a graph is built
// ---------------------------------------------------------------------------------------------------------------

struct ShapeHandle {
  tf::ShapeHandle* handle = tf::NewShapeHandle();
  ShapeHandle() = default;
  ~ShapeHandle() { tf::DeleteShapeHandle(handle); }
  ShapeHandle(const ShapeHandle&) = delete;
  ShapeHandle& operator=(const ShapeHandle&) = delete;
};

struct Dimension {
  tf::DimensionHandle* handle = tf::NewDimensionHandle();
  ~Dimension() { tf::DeleteDimensionHandle(handle); }
};

constexpr int broadcast_inputs = 6;

// How much an axis of an operand tells about the result: 0 if absent or of size 1, 1 if of unknown size, else 2.
int weight_of_axis(tf::ShapeContext* context, tf::ShapeHandle* shape, int64_t axis) {
  if (axis < 0) return 0;
  Dimension dimension;
  tf::ShapeInferenceContextDim(context, shape, axis, dimension.handle);
  if (!tf::DimensionHandleValueKnown(dimension.handle)) return 1;
  return tf::DimensionHandleValue(dimension.handle) == 1 ? 0 : 2;
}

void set_scalar(tf::ShapeContext* context, int output, tf::Status* status) {
  tf::ShapeHandle* scalar = tf::ShapeInferenceContextScalar(context);
  tf::ShapeInferenceContextSetOutput(context, output, scalar, status);
  tf::DeleteShapeHandle(scalar);
}

// Each axis of the output is that of the operand that tells most about it.
template <int output>
void broadcast_shapes(tf::ShapeContext* context, tf::Status* status) {
  ShapeHandle inputs[broadcast_inputs];
  int64_t ranks[broadcast_inputs];
  for (int k = 0; k < broadcast_inputs; ++k) {
    tf::ShapeInferenceContextGetInput(context, k, inputs[k].handle, status);
    if (!tf::ShapeInferenceContextRankKnown(context, inputs[k].handle))
      return tf::ShapeInferenceContextSetUnknownShape(context, status);
    ranks[k] = tf::ShapeInferenceContextRank(context, inputs[k].handle);
  }
  const int64_t rank = *std::max_element(ranks, ranks + broadcast_inputs);
  const int longest = int(std::max_element(ranks, ranks + broadcast_inputs) - ranks);
  ShapeHandle result;
  tf::ShapeInferenceContextSubshape(context, inputs[longest].handle, 0, 0, result.handle, status);
  for (int64_t d = 0; d < rank; ++d) {
    int best = longest, most = 0;
    for (int k = 0; k < broadcast_inputs; ++k) {
      const int weight = weight_of_axis(context, inputs[k].handle, d - rank + ranks[k]);
      if (weight > most) {
        best = k;
        most = weight;
      }
    }
    const int64_t axis = d - rank + ranks[best];
    ShapeHandle part;
    tf::ShapeInferenceContextSubshape(context, inputs[best].handle, axis, axis + 1, part.handle, status);
    tf::ShapeInferenceContextConcatenateShapes(context, result.handle, part.handle, result.handle, status);
  }
  tf::ShapeInferenceContextSetOutput(context, output, result.handle, status);
  set_scalar(context, 1 - output, status);
  if (output == 1) set_scalar(context, 2, status);
}

template <int output>
void shape_of_logits(tf::ShapeContext* context, tf::Status* status) {
  ShapeHandle logits;
  tf::ShapeInferenceContextGetInput(context, 0, logits.handle, status);
  tf::ShapeInferenceContextSetOutput(context, output, logits.handle, status);
  set_scalar(context, 1 - output, status);
  if (output == 1) set_scalar(context, 2, status);
}

// The C API does not show the class axis to a shape function: the caller sets the shape of the result.
void unknown_shape(tf::ShapeContext* context, tf::Status* status) {
  tf::ShapeInferenceContextSetUnknownShape(context, status);
  set_scalar(context, 1, status);
}

// ---------------------------------------------------------------------------------------------------------------
// Registration
// ---------------------------------------------------------------------------------------------------------------

template <class Attributes>
void* create(tf::Construction* construction) {
  Status status;
  auto* attributes = new Attributes(construction, status);
  if (!status.ok()) tf::OpKernelConstruction_Failure(construction, status);
  return attributes;
}

template <class Attributes>
void destroy(void* attributes) {
  delete static_cast<Attributes*>(attributes);
}

template <class Function>
void guarded(tf::Context* context, Function&& function) {
  try {
    if (kernels == nullptr) throw Failure("focal_loss: import focal_loss.tensorflow before running its ops");
    function();
  } catch (const std::exception& error) {
    Status status;
    tf::SetStatus(status, dynamic_cast<const Failure*>(&error) ? tf::invalid_argument : tf::internal, error.what());
    tf::OpKernelContext_Failure(context, status);
  }
}

template <class Attributes, auto wanted>
void compute(void* attributes, tf::Context* context) {
  guarded(context, [&] { static_cast<Attributes*>(attributes)->compute(context, wanted); });
}

struct Op {
  const char* name;
  std::vector<const char*> attributes, inputs, outputs;
  tf::ShapeFunction shapes;
  tf::CreateFunction create;
  tf::ComputeFunction compute;
  tf::DeleteFunction destroy;
};

void register_op(const Op& op) {
  tf::OpBuilder* builder = tf::NewOpDefinitionBuilder(op.name);
  for (const char* attribute : op.attributes) tf::OpDefinitionBuilderAddAttr(builder, attribute);
  for (const char* input : op.inputs) tf::OpDefinitionBuilderAddInput(builder, input);
  for (const char* output : op.outputs) tf::OpDefinitionBuilderAddOutput(builder, output);
  tf::OpDefinitionBuilderAddOutput(builder, "first_bad: int64");
  tf::OpDefinitionBuilderSetShapeInferenceFunction(builder, op.shapes);
  Status status;
  tf::RegisterOpDefinition(builder, status);
  if (!status.ok()) return;
  tf::RegisterKernelBuilder(op.name, tf::NewKernelBuilder(op.name, "CPU", op.create, op.compute, op.destroy), status);
}

// <tables: attributes> Written by tools/tables.py; `make tables` writes it anew.
constexpr char logits_type[] = "T: {float, double, half, bfloat16}";
constexpr char upstream_type[] = "U: {float, double, half, bfloat16}";
constexpr char label_type[] = "L: {float, double, half, bfloat16, bool, uint8, int8, int16, int32, int64}";
// </tables: attributes>

// Registers the ops while the library is being loaded, because TensorFlow takes those as its ops. If a function is
// missing, none are registered.
const bool registered = [] {
  if (!tf::resolve()) return false;
  constexpr char total_type[] = "S: {float, double}";
  const std::vector<const char*> result{"result: T"}, total{"total: S", "slope: S"};
  const auto with = [](std::vector<const char*> strings, const char* last) {
    strings.push_back(last);
    return strings;
  };
  std::vector<const char*> attributes{logits_type, label_type, "W: {float, double}", upstream_type, "order: int", "family: int"};
  std::vector<const char*> inputs{"logits: T", "labels: L", "gamma: W", "positive: W", "negative: W", "upstream: U", "smoothing: double"};
  register_op({"FocalLossBinary", attributes, inputs, result, broadcast_shapes<0>, create<BinaryAttributes>,
               compute<BinaryAttributes, false>, destroy<BinaryAttributes>});
  register_op({"FocalLossBinaryTotal", with(attributes, total_type), inputs, total, broadcast_shapes<1>,
               create<BinaryAttributes>, compute<BinaryAttributes, true>, destroy<BinaryAttributes>});
  attributes.push_back("detached: bool");
  inputs.push_back("numbers: double");  // the exponent, the clip and epsilon
  register_op({"FocalLossMember", attributes, inputs, result, broadcast_shapes<0>, create<MemberAttributes>,
               compute<MemberAttributes, false>, destroy<MemberAttributes>});
  register_op({"FocalLossMemberTotal", with(attributes, total_type), inputs, total, broadcast_shapes<1>,
               create<MemberAttributes>, compute<MemberAttributes, true>, destroy<MemberAttributes>});
  attributes = {logits_type, label_type, "axis: int", "sparse: bool", "has_ignored: bool", "ignored: int"};
  inputs = {"logits: T", "labels: L", "gamma: double", "weight: double", "smoothing: double"};
  register_op({"FocalLossSoftmax", attributes, inputs, result, unknown_shape, create<SoftmaxAttributes>,
               compute<SoftmaxAttributes, Wanted::value>, destroy<SoftmaxAttributes>});
  attributes.push_back(upstream_type);
  inputs.push_back("upstream: U");
  register_op({"FocalLossSoftmaxGradient", attributes, inputs, result, shape_of_logits<0>, create<SoftmaxAttributes>,
               compute<SoftmaxAttributes, Wanted::gradient>, destroy<SoftmaxAttributes>});
  register_op({"FocalLossSoftmaxTotal", with(attributes, total_type), inputs, total, shape_of_logits<1>,
               create<SoftmaxAttributes>, compute<SoftmaxAttributes, Wanted::total>, destroy<SoftmaxAttributes>});
  return true;
}();

}  // namespace

// Sets the kernels, which another library holds.
extern "C" __attribute__((visibility("default"))) void focal_loss_connect(const focal::EntryPoints* entry_points) {
  kernels = entry_points;
}
