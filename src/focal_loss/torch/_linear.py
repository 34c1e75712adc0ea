"""A last layer and its softmax focal loss in one: only a few rows of the logits exist at a time.

The gradient in the logits is a number per row times (softmax - one-hot), so a chunk of logits can be turned into its
gradient where it lies, and multiplied into the gradients in the layer's input and weight, before the next is made.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from focal_loss._core import checks, options, pipeline, softmax_losses
from focal_loss._core.losses.sparse_categorical_focal_loss import LOSS
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike, Reduction
from focal_loss._core.shapes import check_linear
from focal_loss.torch import _autograd, _normalizer
from focal_loss.torch._backend import FORMULA, XP, under_autocast
from focal_loss.torch._calls import SoftmaxCall, at_least_float32, is_counted
from focal_loss.torch._chunks import Gradients, chunks, for_products
from focal_loss.torch._functions import checked
from focal_loss.torch._normalizer import Group, Normalizer
from focal_loss.torch._private import is_batched, is_exported


def autocast_casts(hidden: Tensor) -> bool:
    """Whether autocast casts the layer; it leaves float64 alone."""
    device = hidden.device.type
    return (
        hidden.dtype != torch.float64 and torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    )


# <doors: head> Written by tools/doors.py; `make doors` writes it anew.
@answering
def linear_sparse_categorical_focal_loss(
    hidden: Tensor,
    weight: Tensor,
    y_true: Any,
    gamma: ParameterLike,
    *,
    bias: Tensor | None = None,
    class_weight: ParameterLike | None = None,
    ignore_class: int | None = None,
    label_smoothing: float | None = None,
    reduction: Reduction = "mean",
    normalizer: Normalizer = None,
    group: Group = None,
) -> Tensor:
    """Softmax focal loss of a linear layer, without its logits in memory: for many classes, or tokens of a language.

    It equals ``sparse_categorical_focal_loss(y_true, linear(hidden, weight, bias), gamma, from_logits=True, ...)``.
    A mean or a sum computes its gradients at once, chunk by chunk; they are all that is kept. In half precision the
    gradients of weight and bias are added up in float32, on a GPU the rounded products of the chunks. In float16 a
    gradient in a logit is lost below 6e-8, before a loss scaler can lift it: prefer bfloat16. The loss is
    differentiable once, in `hidden`, `weight` and `bias`. `torch.compile` breaks its graph here.

    Parameters
    ----------
    hidden : floating tensor, shape (..., D)
        The inputs of the last layer.
    weight : floating tensor, shape (K, D), the dtype of `hidden`
        The weight of the last layer, whose logits are ``hidden @ weight.T + bias``.
    y_true : tensor of int, shape (...)
        Class indices in [0, K).
    gamma : float or array_like, shape (), (K,) or (..., 1)
        The focusing parameter, at least 0. The higher it is, the less an easy example counts; 0 is cross-entropy. A
        vector is one for each class; an array with the axes of `hidden`, of length 1 in place of D, is one for each
        example.
    bias : floating tensor, shape (K,), optional
        The bias of the last layer.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class. 1 if None.
    ignore_class : int, optional
        Examples with this label cost 0 and have a gradient of zeros, whatever their prediction. It need not be a class.
    label_smoothing : float, optional
        The amount a, in [0, 1]. An index counts as the labels ``(1 - a) * one_hot + a / K``, in the focal factor as in
        the logarithm: the loss is that of all K classes.
    reduction : {'none', 'mean', 'sum'}
        How to reduce the losses. The mean is over the examples that are not ignored, and 0 where there are none. A mean
        or a sum of half precision is float32. Under `torch.autocast` every loss is float32, reduced or not.
    normalizer : {'valid', 'weight'}, float or Tensor, optional
        The divisor of the sum of the losses in a mean, a constant in derivatives. None or 'valid': the number of
        examples that are not ignored. 'weight': the sum of the weights of the labels. A positive number, or a tensor of
        one: itself. The mean is 0 where the divisor is 0.
    group : torch.distributed.ProcessGroup or bool, optional
        The processes that share a batch, True for all of them. Their divisors, numbers too, are added up, and the loss
        is multiplied by the number of processes: the average of their gradients, which DDP and FSDP take, is then that
        of one process with the whole batch. Each of them must call the loss. See `docs/many_machines.md`.

    Returns
    -------
    loss : a number, or an array of the shape of `y_true` if `reduction` is 'none'
        The dtype is that of `hidden`. float16 and bfloat16 are computed in float32 and rounded once.

    Raises
    ------
    TypeError
        If an option has the wrong type, or labels or predictions are not real numbers.
    ValueError
        If an option or a class index is out of range, or if shapes do not match. Indices are read where that costs
        little: eagerly, on the host, unless `focal_loss.set_checks` turns that off. Elsewhere the loss of such an
        example is NaN.

    Notes
    -----
    Domain: `y_true` in 0 .. K-1; the logits real, linked by the softmax. The loss
    is ``weight_t * (1 - p_t)**gamma_t * -log(p_t)`` [1]_ of the true class t, where 1 - p_t is a sum over the other
    classes; with `label_smoothing` the sum of such terms over all classes, each times its smoothed label. No one-hot
    labels are made.

    References
    ----------
    .. [1] T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
       arXiv:1708.02002, equations 4 and 5.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import linear_sparse_categorical_focal_loss
    >>> layer = torch.nn.Linear(8, 1000)
    >>> hidden = torch.zeros(4, 8)
    >>> loss = linear_sparse_categorical_focal_loss(
    ...     hidden, layer.weight, torch.tensor([1, 2, 3, 999]), gamma=2, bias=torch.zeros(1000)
    ... )
    >>> loss.backward()
    >>> round(loss.item(), 3), layer.weight.grad.shape
    (6.894, torch.Size([1000, 8]))
    """
    # </doors: head>
    spec = checked(
        SparseOptions,
        gamma=gamma,
        class_weight=class_weight,
        from_logits=True,
        ignore_class=ignore_class,
        label_smoothing=label_smoothing,
    )
    reduction = options.reduction(reduction)
    _normalizer.check(LOSS, reduction, normalizer, group)
    for name, tensor in (("hidden", hidden), ("weight", weight), ("bias", bias)):
        if not (isinstance(tensor, Tensor) and tensor.is_floating_point()) and not (name == "bias" and tensor is None):
            raise TypeError(f"`{name}` must be a floating tensor, got {checks.described(tensor)}")
    y = XP.labels(y_true, hidden)
    _check(hidden, weight, bias, y, spec)
    # Lists and arrays become tensors once, not for every chunk.
    gamma, class_weight = softmax_losses.of_classes(
        XP,
        XP.parameter("gamma", spec.gamma, hidden),
        XP.parameter("class_weight", spec.class_weight, hidden),
        (*y.shape, weight.shape[0]),
        y.ndim,
        spec.weight_name,
    )
    spec = replace(spec, gamma=gamma, class_weight=class_weight)
    if autocast_casts(hidden):
        dtype = torch.get_autocast_dtype(hidden.device.type)
        hidden, weight, bias = (None if t is None else t.to(dtype) for t in (hidden, weight, bias))
    of_layer = _layer_and_loss if is_exported() else _of_layer
    if reduction != "mean" or _normalizer.is_ordinary_mean(normalizer, group):
        return of_layer(hidden, weight, bias, y, spec, reduction)
    given = class_weight.detach() if isinstance(class_weight, Tensor) else class_weight
    labels = _normalizer.Indices(y.detach(), weight.shape[0], spec.ignore_class, given)
    return _normalizer.mean(lambda: of_layer(hidden, weight, bias, y, spec, "sum"), labels, hidden, normalizer, group)


def _layer_and_loss(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, spec: SparseOptions, reduction: Reduction
) -> Tensor:
    logits = torch.nn.functional.linear(hidden, weight, bias)
    return softmax_losses.sparse_categorical(XP, y, logits, spec, reduction)


@torch.compiler.disable
def _of_layer(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    y: Tensor,
    spec: SparseOptions,
    reduction: options.Reduction,
) -> Tensor:
    """The fused loss, or the layer and then its loss if tensors are transformed, recorded or sharded, or have no
    memory.
    """
    given = [t for t in (hidden, weight, bias, y) if t is not None]
    if hidden.is_meta or not XP.has_numbers(*given):
        return _layer_and_loss(hidden, weight, bias, y, spec, reduction)
    if _is_of_examples(spec):
        spec = replace(spec, gamma=spec.gamma.expand(*y.shape, 1).reshape(-1, 1))
    problem = _Problem(spec, reduction, torch.is_grad_enabled())
    loss = _Linear.apply(hidden.reshape(-1, hidden.shape[-1]), weight, bias, y.reshape(-1), problem)
    return loss.reshape(y.shape) if reduction == "none" else loss


def _check(hidden: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, spec: SparseOptions) -> None:
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and hasattr(tensor, "full_tensor") != hasattr(hidden, "full_tensor"):
            raise _mixed(name, hasattr(hidden, "full_tensor"))
    check_linear(hidden.shape, weight.shape, None if bias is None else bias.shape, y.shape)
    if y.is_floating_point():
        checks.check_exact(y.dtype, weight.shape[0])
    for name, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.dtype != hidden.dtype and not autocast_casts(hidden):
            raise TypeError(f"`{name}` must have the dtype of `hidden`, {hidden.dtype}, got {tensor.dtype}")
    for name, value in (("gamma", spec.gamma), ("class_weight", spec.class_weight)):
        if isinstance(value, Tensor) and value.requires_grad:
            raise ValueError(
                f"`{name}` must not require a gradient here; take `sparse_categorical_focal_loss` for that"
            )
    if XP.readable(y):
        checks.check_classes(XP.to_numpy(y), weight.shape[0], spec.ignore_class)


def _mixed(name: str, is_sharded: bool) -> TypeError:
    """The error for a DTensor beside a plain tensor: only the caller knows whether every process holds the same
    numbers.
    """
    if is_sharded:
        return TypeError(
            f"`{name}` must be a DTensor where `hidden` is one, got a plain tensor; pass "
            f"`distribute_tensor({name}, hidden.device_mesh)`, or `hidden.full_tensor()` beside it"
        )
    # Not `full_tensor()`, whose gradient takes all processes to hold the same `hidden`, as under FSDP they do not.
    return TypeError(
        f"`{name}` must be whole where `hidden` is a plain tensor, got a DTensor; after `fully_shard` compute the loss "
        "in `forward` of the module it wrapped with it, or call `unshard()` of that module; else shard `hidden` too"
    )


def _is_of_examples(spec: SparseOptions) -> bool:
    """Whether gamma is an array with one entry per example."""
    return isinstance(spec.gamma, Tensor) and spec.gamma.ndim > 1


def _of_part(spec: SparseOptions, part: slice) -> SparseOptions:
    """The options of a few rows."""
    return replace(spec, gamma=spec.gamma[part]) if _is_of_examples(spec) else spec


class _Problem(NamedTuple):
    spec: SparseOptions
    reduction: options.Reduction
    recorded: bool


def _loss(logits: Tensor, y: Tensor, spec: SparseOptions, float32: bool) -> Tensor:
    """The loss by the kernels or the formula. With `float32` it is not rounded to half precision."""
    call = _call(logits, y, spec, "none", float32)
    if call is not None:
        return _autograd.kernels(logits).softmax(0, 1.0, call)
    return softmax_losses.sparse_categorical(FORMULA if float32 else XP, y, logits, spec)


def _call(
    logits: Tensor, y: Tensor, spec: SparseOptions, reduction: options.Reduction, float32: bool = False
) -> SoftmaxCall | None:
    """The call of the kernels, or None if they do not cover it."""
    gamma, weight = softmax_losses.class_parameters(XP, logits, 1, spec)
    call = pipeline.SoftmaxCall(
        logits,
        y,
        gamma,
        weight,
        axis=1,
        sparse=True,
        ignore=spec.ignore_class,
        smoothing=spec.label_smoothing,
        reduction=reduction,
    )
    return XP.softmax_call(call, float32 or under_autocast(logits))


def _sum_and_slope(logits: Tensor, y: Tensor, spec: SparseOptions) -> tuple[Tensor, Tensor]:
    """The sum of the losses, and its gradient, which overwrites the logits if there are kernels."""
    call = _call(logits, y, spec, "sum")
    if call is not None:
        return _autograd.kernels(logits).softmax_with_gradient(call, logits, torch.float64)
    with torch.enable_grad():
        losses = softmax_losses.sparse_categorical(FORMULA, y, logits.requires_grad_(), spec)
    slope = torch.autograd.grad(losses, logits, torch.ones_like(losses))[0]
    return losses.detach().sum(dtype=torch.float64), slope


def _slope(upstream: Tensor, logits: Tensor, y: Tensor, spec: SparseOptions) -> Tensor:
    """The gradient of upstream * loss, in the same place."""
    call = _call(logits, y, spec, "none")
    if call is not None:
        return _autograd.kernels(logits).softmax(1, upstream, call, logits)
    with torch.enable_grad():
        loss = softmax_losses.sparse_categorical(FORMULA, y, logits.requires_grad_(), spec)
    return torch.autograd.grad(loss, logits, upstream.to(loss.dtype))[0]


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, problem: _Problem) -> Tensor:
        spec, reduction, recorded = problem
        ctx.save_for_backward(hidden, weight, bias, y)
        ctx.problem, ctx.ready = problem, None
        wanted = ctx.needs_input_grad[:3]
        if reduction != "none" and recorded and any(wanted):
            total, ctx.ready = _sum_and_gradients(hidden, weight, bias, y, spec, wanted)
            return (total * _reduction_weight(y, problem)).to(torch.promote_types(hidden.dtype, torch.float32))
        reduced = reduction != "none"
        parts = chunks(*for_products(hidden, weight, bias))
        values = [_loss(logits, y[part], _of_part(spec, part), reduced) for part, logits in parts]
        value = torch.cat(values) if values else at_least_float32(hidden.new_zeros(0))
        if not reduced:
            return XP.round_losses(value, hidden)
        return (value.sum() * _reduction_weight(y, problem)).to(value.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "the fused linear focal loss gives first derivatives; take the layer and the loss"
            )
        if is_batched(grad):
            raise NotImplementedError(
                "the fused linear focal loss takes one upstream gradient at a time; take the layer and the loss"
            )
        hidden, weight, bias, y = ctx.saved_tensors
        spec, reduction, _ = ctx.problem
        wanted = ctx.needs_input_grad[:3]
        if reduction == "none":
            gradients = _sum_and_gradients(hidden, weight, bias, y, spec, wanted, grad)[1]
            return (*gradients.scaled(1.0), None, None)
        ready, ctx.ready = ctx.ready, None
        if ready is None:  # a second backward pass
            ready = _sum_and_gradients(hidden, weight, bias, y, spec, wanted)[1]
        return (*ready.scaled(at_least_float32(grad) * _reduction_weight(y, ctx.problem)), None, None)


def _reduction_weight(y: Tensor, problem: _Problem) -> Tensor | float:
    if problem.reduction == "sum":
        return 1.0
    ignore = problem.spec.ignore_class
    return (
        1 / max(y.numel(), 1) if ignore is None else 1.0 / is_counted(y, ignore).sum(dtype=torch.float64).clamp(min=1)
    )


def _sum_and_gradients(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    y: Tensor,
    spec: SparseOptions,
    wanted: tuple[bool, ...],
    upstream: Tensor | None = None,
) -> tuple[Tensor, Gradients]:
    """The sum of the losses and its gradients; with an upstream per row, the gradients of their sum times it."""
    dtype = hidden.dtype
    hidden, weight, bias = for_products(hidden, weight, bias)
    gradients = Gradients(hidden, weight, bias, wanted, dtype)
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for part, logits in chunks(hidden, weight, bias):
        if upstream is None:
            value, slope = _sum_and_slope(logits, y[part], _of_part(spec, part))
            total += value
        else:
            slope = _slope(upstream[part], logits, y[part], _of_part(spec, part))
        gradients.add(part, slope)
    return total, gradients
