"""The normalizers of a mean: the examples, positives or weights of a batch, which may lie on many machines.

A mean over R processes is R times the sum of the losses here, divided by what all of them count. The average of the
gradients over the processes, which DDP and FSDP take, is then the gradient of one process with the whole batch.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, Self, TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor

from focal_loss._core import checks, options, softmax_losses
from focal_loss._core.declare import Loss, Options
from focal_loss._core.shapes import broadcast_shape, normalize_axis
from focal_loss.torch._backend import SUM, XP, Divided
from focal_loss.torch._calls import is_counted
from focal_loss.torch._closed_forms import beside
from focal_loss.torch._private import vmap_is_on

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

Count = Literal["valid", "positives", "weight"]
Normalizer: TypeAlias = Count | float | Tensor | None
Group: TypeAlias = "ProcessGroup | bool | None"
Number: TypeAlias = int | float | Tensor
METHODS = {"valid": "valid", "positives": "positives", "weight": "weights"}  # of the labels below
NAMES = "'valid', 'positives', 'weight', a positive number, a tensor of one, or None"


# ---------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------


class Counting(Protocol):
    """The part of a loss that says what can be counted."""

    @property
    def layout(self) -> str: ...
    @property
    def options(self) -> type[Options]: ...


def check(loss: Counting, reduction: options.Reduction, normalizer: Any, group: Any) -> None:
    """Check the options `normalizer` and `group` of a loss."""
    check_group(group, reduction)
    if normalizer is None:
        return
    _check_reduction("normalizer", normalizer, reduction)
    if isinstance(normalizer, str):
        if normalizer not in METHODS:
            raise ValueError(f"`normalizer` must be {NAMES}, got {normalizer!r}")
        if normalizer == "positives" and loss.layout == "sparse":
            raise ValueError(
                "`normalizer` must not be 'positives' for class indices, none of which is negative; pass 'valid' for "
                "the number of examples, or a number"
            )
        if normalizer == "weight" and not loss.options.weight_name:
            raise ValueError("`normalizer` must not be 'weight' for a loss without weights; pass 'valid'")
    else:
        check_number("normalizer", normalizer, shared=is_shared(group))


def check_number(name: str, value: Any, shared: bool) -> None:
    """Raise unless the value is a positive number, or a tensor of one. Of the share of a process 0 is one too."""
    allowed = f"`{name}` must be {NAMES}" if name == "normalizer" else f"`{name}` must be a positive number"
    if isinstance(value, Tensor):
        if value.dtype == torch.bool or value.is_complex():
            raise TypeError(f"{allowed}, got a tensor of {value.dtype}")
        if value.ndim:
            raise ValueError(f"{allowed}, got a tensor of shape {tuple(value.shape)}; pass its sum")
        if not (checks.enabled() and XP.readable(value)):
            return
        value = value.item()
    elif not options.is_number(value):
        raise TypeError(f"{allowed}, got {checks.shown(value)}")
    if not 0 <= value < math.inf or options.exceeds_float(value):
        raise ValueError(f"{allowed}, got {checks.shown(value)}")
    if value == 0 and not shared:
        raise ValueError(f"{allowed}, got {value}; pass `max(n, 1)` where there may be nothing to count")


def _check_reduction(name: str, value: Any, reduction: str) -> None:
    if reduction != "mean":
        raise ValueError(
            f"`{name}` must be None with `reduction={reduction!r}`, got {checks.shown(value)}; pass `reduction='mean'`"
        )


def check_group(group: Any, reduction: str = "mean") -> None:
    """Raise unless the value is a process group, a bool or None. Whether there is a default group shows at the call."""
    if group is None or group is False:
        return
    _check_reduction("group", group, reduction)
    if group is True or (dist.is_available() and isinstance(group, dist.ProcessGroup)):
        return
    allowed = "`group` must be a process group of torch.distributed, True for the default one, or None"
    if dist.is_available() and group is dist.GroupMember.NON_GROUP_MEMBER:
        raise ValueError(f"{allowed}, got a group without this process; compute the loss only in its members")
    remedy = "; pass its `get_group()`" if hasattr(group, "get_group") else ""
    raise TypeError(f"{allowed}, got {checks.shown(group)}{remedy}")


class Grouped(torch.nn.Module):
    """A module with a process group."""

    group: Group = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy that shares the process group, of which there can be no copy."""
        memo[id(self.group)] = self.group
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        copied.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return copied


# ---------------------------------------------------------------------------------------------------------------
# What there is to count
# ---------------------------------------------------------------------------------------------------------------


def _total(x: Tensor) -> Tensor:
    """A sum that neither 2**24 nor 65504 limits."""
    if x.dtype == torch.bool:
        return torch.count_nonzero(x) if type(x) is Tensor else x.sum()
    return x.sum(dtype=torch.promote_types(x.dtype, torch.float32) if x.is_floating_point() else None)


class Elements(NamedTuple):
    """The labels of a loss for each label and prediction."""

    y: Tensor
    shape: list[int]  # of the losses, to which labels broadcast
    ignore: int | None
    dtype: torch.dtype  # of the computation
    only_ones: bool  # whether no label but 1 is a positive
    weight: Any
    label_weight: Callable[..., Tensor] | None  # (XP, y, weight) -> the weight of each label; None if all are 1

    def _sum(self, each: Tensor) -> Tensor:
        """The sum over the losses of a number for each label, without those that are ignored."""
        if self.ignore is not None:
            each = torch.where(is_counted(self.y, self.ignore), each, torch.zeros_like(each))
        return _total(each if list(each.shape) == self.shape else each.expand(self.shape))

    def valid(self) -> Number:
        if self.ignore is None:
            return math.prod(self.shape)
        return self._sum(torch.ones_like(self.y, dtype=torch.bool))

    def positives(self) -> Number:
        if not self.y.is_floating_point():
            return self._sum(self.y if self.y.dtype == torch.bool else self.y > 0)
        return self._sum(self.y == 1 if self.only_ones else self.y)

    def weights(self) -> Number:
        if self.label_weight is None:
            return self.valid()
        y = (self.y if self.y.is_floating_point() else self.y > 0).to(self.dtype)
        weight = self.weight
        if not isinstance(weight, Tensor):
            weight = torch.full((), weight, dtype=self.dtype, device=y.device)
        each = self.label_weight(XP, y, weight)
        if self.ignore is None:
            return self._sum(each)
        counted = is_counted(self.y, self.ignore)
        return self._replace(ignore=None)._sum(torch.where(counted, each, 0.0))


class Indices(NamedTuple):
    """Class indices."""

    index: Tensor
    classes: int
    ignore: int | None
    weight: Any

    def valid(self) -> Number:
        return self.index.numel() if self.ignore is None else _total(is_counted(self.index, self.ignore))

    def weights(self) -> Number:
        if isinstance(self.weight, float) or not self.weight.ndim:
            return self.weight * self.valid()
        index = self.index.long()
        if not self.classes:
            return 0
        # An index out of range has no weight, and NaN for its loss where that is no error.
        counted = (index >= 0) & (index < self.classes)
        if self.ignore is not None:
            counted = counted & (index != self.ignore)
        return _total(torch.where(counted, self.weight[index.clamp(0, self.classes - 1)], 0.0))


class Dense(NamedTuple):
    """A label for each class."""

    y: Tensor
    shape: list[int]  # of labels and predictions
    axis: int
    dtype: torch.dtype
    weight: Any

    def _sum(self, each: Tensor) -> Tensor:
        return _total(each if list(each.shape) == self.shape else each.expand(self.shape))

    def valid(self) -> Number:
        return math.prod(n for k, n in enumerate(self.shape) if k != self.axis)

    def positives(self) -> Number:
        return self._sum(self.y)

    def weights(self) -> Number:
        rank = len(self.shape)
        weight = softmax_losses.along_axis(XP, self.weight, self.axis, rank)
        return self._sum(weight * self.y.to(self.dtype))


Labels: TypeAlias = Elements | Indices | Dense


def labels_of(loss: Loss, y: Tensor, x: Tensor, spec: Any) -> Labels:
    """The labels of a call, with the weights of the loss; errors are those of the loss itself."""
    name, weight = spec.weight_name, 1.0
    if name:
        weight = XP.parameter(name, getattr(spec, name), x)
        weight = weight.detach() if isinstance(weight, Tensor) else weight
    y = y.detach()
    if loss.layout == "sparse":
        axis = normalize_axis(spec.axis, x.ndim)
        index = softmax_losses.without_axis(XP, y, x, axis)
        return Indices(index, x.shape[axis], spec.ignore_class, _per_class(name, weight, x.shape[axis]))
    if loss.layout == "dense":
        shape = broadcast_shape(("y_true", y.shape), ("y_pred", x.shape))
        axis = normalize_axis(spec.axis, x.ndim)
        softmax_losses.check_dense(y.shape, x.shape, axis, y.is_floating_point())
        weight = _per_class(name, weight, x.shape[axis])
        return Dense(y, shape, axis + len(shape) - x.ndim, torch.promote_types(x.dtype, torch.float32), weight)  # type: ignore[arg-type]
    parameters = {name: XP.parameter(name, getattr(spec, name), x) for name in spec.arrays}
    label_weight = loss.label_weight if getattr(spec, "apply_class_balancing", True) else None
    found = elements(y, x, label_weight, weight, **parameters)
    return found._replace(ignore=spec.ignore_class, only_ones=loss.only_ones)


def elements(
    y: Tensor, x: Tensor, label_weight: Callable[..., Tensor] | None, weight: Any, **parameters: Any
) -> Elements:
    """The labels of a loss of elements, which have the shape of labels, predictions and parameters together."""
    shape = broadcast_shape(("y_true", y.shape), ("y_pred", x.shape))
    for name, value in parameters.items():
        if not isinstance(value, float):
            shape = broadcast_shape((name, value.shape), ("y_pred", shape))
    dtype = torch.promote_types(x.dtype, torch.float32)
    constant = weight.detach() if isinstance(weight, Tensor) else weight
    return Elements(y.detach(), shape, None, dtype, False, constant, label_weight)  # type: ignore[arg-type]


def _per_class(name: str, weight: Any, classes: int) -> Any:
    return softmax_losses.per_class(XP, name, weight, classes)


# ---------------------------------------------------------------------------------------------------------------
# The mean
# ---------------------------------------------------------------------------------------------------------------


def mean_of_loss(loss: Loss, y_true: Any, y_pred: Any, spec: Any, normalizer: Normalizer, group: Group) -> Tensor:
    """The mean of a declared loss, whose options have been checked."""
    compute = partial(loss.compute, average=False) if loss.layout == "average" else loss.compute
    if is_ordinary_mean(normalizer, group):
        return compute(XP, y_true, y_pred, spec, "mean")
    x = XP.prediction(y_pred)
    y = XP.labels(y_true, x)
    amount, least = _amount(labels_of(loss, y, x, spec), normalizer)
    divisor = None if is_shared(group) else _on_host(amount, x, least)
    if divisor:
        return compute(Divided(divisor), y, x, spec, "sum")
    return divided(lambda: compute(SUM, y, x, spec, "sum"), amount, x, group, least)


def _on_host(amount: Number, x: Tensor, least: float) -> float | None:
    """The divisor of a loss of plain tensors in eager code, if it can be read."""
    if torch.compiler.is_compiling() or hasattr(x, "device_mesh"):
        return None
    if isinstance(amount, Tensor):
        return max(amount.item(), least) if XP.readable(amount) else None
    return max(amount, least)


def is_ordinary_mean(normalizer: Normalizer, group: Group) -> bool:
    """Whether a mean is that over the examples of this process."""
    ordinary = normalizer is None or (isinstance(normalizer, str) and normalizer == "valid")
    return ordinary and not is_shared(group)


def is_shared(group: Group) -> bool:
    return group is not None and group is not False


def mean(compute_sum: Callable[[], Tensor], labels: Labels, x: Tensor, normalizer: Normalizer, group: Group) -> Tensor:
    """A sum of losses over what a normalizer counts of labels. `x` holds the predictions."""
    amount, least = _amount(labels, normalizer)
    return divided(compute_sum, amount, x, group, least)


def _amount(labels: Labels, normalizer: Normalizer) -> tuple[Number, float]:
    """The number that a mean divides by, and its lower bound.

    It is a constant because all it is computed of is detached: an exported program in which `torch.no_grad` stands can
    be saved, but not loaded.
    """
    if normalizer is None:
        return labels.valid(), 0.0
    if isinstance(normalizer, str):
        return getattr(labels, METHODS[normalizer])(), 1.0 if normalizer == "positives" else 0.0
    return as_amount(normalizer), 0.0


def as_amount(number: float | Tensor) -> Number:
    """The number that a caller passes, as a constant."""
    if not isinstance(number, Tensor):
        return float(number)
    # NaN beside an integer would make it of the default dtype, which may be half precision.
    number = number.detach() if number.is_floating_point() else number.to(_dtype_of_amounts(number))
    # A negative number that could not be read counts as NaN, because it might cancel that of another process.
    return torch.where(number >= 0, number, math.nan)


def divided(compute_sum: Callable[[], Tensor], amount: Number, x: Tensor, group: Group, least: float = 0.0) -> Tensor:
    """A sum of losses over an amount, which is at least `least`; 0 where the amount is 0.

    With a group the amounts of its processes are added up while the losses are computed, and the result is multiplied
    by the number of processes.
    """
    if not is_shared(group):
        return _times(compute_sum(), _on_device(amount, x) if isinstance(amount, Tensor) else amount, 1, least)
    members, processes = _members(group, x)
    everywhere, work = _add_up(_on_device(amount, x), members)
    total = compute_sum()
    if work is not None:
        work.wait()
    return _times(total, everywhere, processes, least)


def _times(total: Tensor, amount: Number, processes: int, least: float) -> Tensor:
    """The sum of losses times the number of processes, over the amount of all of them."""
    if not isinstance(amount, Tensor):
        amount = max(amount, least)
        return total / amount if amount else total * 0
    amount = beside(amount.clamp(min=least) if least else amount, total)
    factor = torch.where(amount == 0, 0.0, processes / amount)
    return (total * factor).to(total.dtype)


def _add_up(amount: Tensor, members: Any) -> tuple[Tensor, Any]:
    """The sum over the processes, which is complete after a wait for the second result, if that is not None."""
    amount = amount.full_tensor() if hasattr(amount, "full_tensor") else amount
    if amount.is_meta:
        return amount, None
    if torch.compiler.is_compiling():  # the compiler puts the wait off by itself
        dist.all_reduce(amount, group=members)
        return amount, None
    if vmap_is_on():
        raise NotImplementedError("`group` must be None inside `torch.vmap`, which has no rule for collectives")
    return amount, dist.all_reduce(amount, group=members, async_op=True)


def _on_device(amount: Number, x: Tensor) -> Tensor:
    """An amount as a constant tensor of its own on the device of the predictions."""
    dtype = _dtype_of_amounts(x)
    if not isinstance(amount, Tensor):
        return torch.full((), amount, dtype=dtype, device=x.device)
    if amount.device not in (x.device, torch.device("cpu")):
        raise ValueError(f"`normalizer` must be on the CPU or on {x.device}, as the predictions, got {amount.device}")
    return amount.detach().to(x.device, dtype, copy=True)


def _dtype_of_amounts(x: Tensor) -> torch.dtype:
    """float64, which holds every count, or float32 on devices that may have no float64."""
    return torch.float64 if x.device.type in ("cpu", "cuda", "meta") else torch.float32


def _members(group: Group, x: Tensor) -> tuple[Any, int]:
    """A process group as torch's functions take it, where None is the default one, and the number of its processes."""
    if group is True and not (dist.is_available() and dist.is_initialized()):
        raise ValueError(
            "`group` must be None in a process without a default group, got True; call "
            "`torch.distributed.init_process_group`, or pass `group=torch.distributed.is_initialized()`"
        )
    members: Any = None if group is True else group
    if hasattr(x, "device_mesh"):
        others = {*dist.get_process_group_ranks(members or dist.group.WORLD)} - {dist.get_rank()}
        if others & {*x.device_mesh.mesh.flatten().tolist()}:
            raise ValueError(
                "`group` must have no other process of the mesh of a DTensor, whose sum is that of the whole mesh "
                "already; leave out `group`"
            )
    return members, dist.get_world_size(members)
