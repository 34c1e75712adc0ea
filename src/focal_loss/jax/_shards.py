"""Softmax losses of classes that are split over devices: each sends a few numbers for an example, and no logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

from focal_loss._core import formula, pipeline, softmax, softmax_losses
from focal_loss._core.checks import shown
from focal_loss.jax._backend import OPS, Formula, at_least_float32, positions

AxisName: TypeAlias = str | tuple[str, ...]
Names: TypeAlias = tuple[str, ...]  # the axes of the mesh that split the classes, in this order


class SoftmaxSetting(NamedTuple):
    """The settings of a softmax loss that are not tensors."""

    gamma: float | None  # None where it is a tensor
    axis: int  # counted from the last, negative
    sparse: bool
    ignore: int | None
    smooth: bool  # whether the smoothing is above 0
    names: Names = ()  # the axes of a `shard_map` or `pmap` that split the classes


class SoftmaxTensors(NamedTuple):
    """The arrays of a softmax loss."""

    x: Array
    y: Array
    gamma: Array
    weight: Array
    smoothing: Array


@dataclass(frozen=True)
class Shard(Formula):
    """`pipeline.Backend` for JAX by the formula where a device holds a part of the classes.

    `axis` is that of the classes, negative. Each reduction over the classes is a collective.
    """

    names: Names
    axis: int

    def readable(self, x: Array) -> bool:
        return False  # other devices go on

    def splits(self, x: Array, axis: int) -> bool:
        return axis % x.ndim == self.axis % x.ndim

    def sum(self, x: Array, axis: int) -> Array:
        return jax.lax.psum(OPS.sum(x, axis), self.names) if self.splits(x, axis) else OPS.sum(x, axis)

    def max(self, x: Array, axis: int) -> Array:
        if not self.splits(x, axis):
            return OPS.max(x, axis)
        return jax.lax.pmax(jax.lax.stop_gradient(OPS.max(x, axis)), self.names)  # only constants have derivatives

    def first_max(self, x: Array, axis: int) -> Array:
        place = jnp.where(x == self.max(x, axis), self.classes(x, axis), self.length(x, axis))
        return place == jax.lax.pmin(jnp.min(place, axis, keepdims=True), self.names)

    def length(self, x: Array, axis: int) -> int:
        return x.shape[axis] * (jax.lax.axis_size(self.names) if self.splits(x, axis) else 1)

    def classes(self, like: Array, axis: int) -> Array:
        return positions(like, axis) + first_class(self.names, like.shape[axis])

    def take(self, x: Array, index: Array) -> Array:
        place = index - first_class(self.names, len(x))
        here = (place >= 0) & (place < len(x))
        return jax.lax.psum(jnp.where(here, jnp.take(x, jnp.where(here, place, 0)), 0), self.names)


def checked_names(axis_name: AxisName) -> Names:
    """Axes of the `shard_map` or `pmap` around the call."""
    names = (axis_name,) if isinstance(axis_name, str) else axis_name
    if not isinstance(names, tuple) or not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"`axis_name` must be a string or a tuple of strings, got {shown(axis_name)}")
    try:
        jax.lax.axis_size(names)
    except NameError:
        raise ValueError(
            "`axis_name` must name an axis of a `jax.shard_map` or `jax.pmap` around the call, got "
            f"{shown(axis_name)}; elsewhere leave it out: JAX divides the work of sharded arrays"
        ) from None
    return names


def first_class(names: Names, count: int) -> Array:
    """The index of the first of the `count` classes of this device."""
    return jax.lax.axis_index(names) * count


def gathered(names: Names, *arrays: Array) -> list[Array]:
    """Arrays from all devices that split the classes, along a new axis 0: in one collective.

    Inside a `shard_map` types say which arrays differ between devices, and these do not. Before JAX 0.10 only a sum has
    that type, here of arrays that are 0 in the places of other devices.
    """
    stacked = jnp.stack(arrays)
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return list(jax.lax.all_gather(stacked, names, axis=1))
    if jax.__version_info__ >= (0, 10):
        return list(jax.lax.all_gather(stacked, names, axis=1, to="invarying"))
    places = jnp.zeros((len(arrays), jax.lax.axis_size(names), *stacked.shape[1:]), stacked.dtype)
    return list(jax.lax.psum(places.at[:, jax.lax.axis_index(names)].set(stacked), names))


def added(names: Names, arrays: Sequence[Array]) -> list[Array]:
    """The sums of arrays over all devices that split the classes: in one collective."""
    return list(jax.lax.psum(jnp.stack(arrays), names))


def value_and_slope(
    setting: SoftmaxSetting, order: int, of_classes: tuple[bool, ...], tensors: SoftmaxTensors
) -> tuple[Array, ...]:
    """The loss of each example, and with order 1 its derivative in the logits of this device, at least float32.

    The tensors have one rank and broadcast, as the kernels take them; indices of classes have an axis of length 1.
    `of_classes` says whether gamma and the weight have an entry per class, of which a device has its own.
    """
    x, y, gamma, weight, smoothing = tensors
    v = jnp.broadcast_to(x, jnp.broadcast_shapes(*(t.shape for t in tensors))).astype(at_least_float32(x.dtype))
    gamma = gamma if setting.gamma is None else setting.gamma
    axis = v.ndim + setting.axis
    shard = Shard(setting.names, setting.axis)
    if not setting.sparse:
        labels = y.astype(v.dtype)
        if setting.smooth:
            labels = pipeline.smoothed(labels, smoothing, shard.length(v, axis))
        value, slope = of_every_class(setting, order, v, labels, gamma, weight)
    else:
        index, _ = softmax_losses.class_indices(shard, y, None, setting.ignore)
        outside = (index < 0) | (index >= shard.length(v, axis))
        mask = index == shard.classes(v, axis)
        if setting.ignore is not None:  # an ignored prediction must not reach the gradient as 0 * nan
            v = jnp.where(index == setting.ignore, 0.0, v)
        if setting.smooth:
            labels = pipeline.smoothed(mask.astype(v.dtype), smoothing, shard.length(v, axis))
            value, slope = of_every_class(setting, order, v, labels, gamma, weight)
        else:
            value, slope = of_true_class(setting, order, v, mask, (gamma, weight), of_classes)
        value = jnp.where(outside, jnp.nan, value)
        if setting.ignore is not None:
            value = jnp.where(index == setting.ignore, 0.0, value)
            outside |= index == setting.ignore
        slope = None if slope is None else jnp.where(outside, 0.0, slope)
    value = jnp.squeeze(value, setting.axis).astype(x.dtype)
    return (value, slope)[: order + 1]


def of_true_class(
    setting: SoftmaxSetting,
    order: int,
    v: Array,
    mask: Array,
    parameters: tuple[Array | float, ...],
    of_classes: tuple[bool, ...],
) -> tuple[Array, Array | None]:
    """The loss of the classes that the mask marks, with an axis of length 1, and the slope. One collective: three
    numbers for an example, and one for each parameter of the classes.
    """
    axis = v.ndim + setting.axis
    picked = [OPS.sum(jnp.where(mask, p, 0.0), axis) for p, own in zip(parameters, of_classes, strict=True) if own]
    own, peak, others, *chosen = gathered(setting.names, *softmax.part_of(OPS, v, mask, axis), *picked)
    whole = softmax.Part(*(number[0] for number in softmax.together(OPS, softmax.Part(own, peak, others), 0)))
    queue = iter(chosen)
    gamma, weight = (next(queue).sum(0) if own else p for p, own in zip(parameters, of_classes, strict=True))
    arguments = softmax.margin_of_part(OPS, whole), gamma, weight
    value = formula.evaluate(OPS, "margin", "", *arguments)
    if order == 0:
        return value, None
    change = formula.evaluate(OPS, "margin", "0", *arguments)
    return value, softmax.vjp_of_part(OPS, v, mask, whole, change)


def of_every_class(
    setting: SoftmaxSetting, order: int, v: Array, labels: Array, gamma: Array | float, weight: Array | float
) -> tuple[Array, Array | None]:
    """The same for a label of each class. Two collectives, of two and of three numbers for an example: no sum that is
    known before all exponentials are added gives the loss.
    """
    names, axis = setting.names, v.ndim + setting.axis
    parts = softmax.PartOfEvery(*gathered(names, *softmax.part_of_every(OPS, v, axis)))
    whole, first = softmax.every_together(OPS, parts, 0)
    here = first[jax.lax.axis_index(names)]
    top = OPS.first_max(v, axis) & here
    rest = softmax.rest_of_part(OPS, v, softmax.PartOfEvery(whole.peak[0], whole.rest[0]), top)
    arguments = rest.margin, gamma, weight, labels
    value = formula.evaluate(OPS, "margin", "", *arguments)
    if order == 0:
        return added(names, [OPS.sum(value, axis)])[0], None
    change = formula.evaluate(OPS, "margin", "0", *arguments)
    terms = value, *softmax.ratios_of_part(OPS, rest, top, change)
    total, *ratios = added(names, [OPS.sum(term, axis) for term in terms])
    return total, softmax.gradient_of_part(OPS, rest, top, change, *ratios)
