"""Losses for the `Trainer` of transformers and for its causal language models; the loss and the matching cost of the
detectors of the DETR family.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from focal_loss._core import binary_losses, checks, options, softmax_losses
from focal_loss._core.losses.binary_focal_crossentropy import Options as SigmoidOptions
from focal_loss._core.losses.sparse_categorical_focal_loss import Options as SparseOptions
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike
from focal_loss.torch import _normalizer
from focal_loss.torch._backend import SUM, XP
from focal_loss.torch._conventions import FocalOptions
from focal_loss.torch._functions import checked, focal_matching_cost
from focal_loss.torch._functions import sigmoid_focal_loss as _sigmoid_focal_loss
from focal_loss.torch._linear import linear_sparse_categorical_focal_loss
from focal_loss.torch._normalizer import Group, check_group, is_shared
from focal_loss.torch.compat._tensors import check_shape, exact, mean, naming

__all__ = ["causal_focal_loss", "class_cost", "compute_loss_func", "sigmoid_focal_loss"]

COUNTED = -100  # the trainer counts the labels that are not this


@naming("targets", "inputs")
def sigmoid_focal_loss(
    inputs: Tensor,
    targets: Tensor,
    num_boxes: float | Tensor,
    alpha: float = 0.25,
    gamma: float = 2,
    *,
    group: Group = None,
) -> Tensor:
    """Compute the mean over axis 1 of the focal loss of logits, its sum over the other axes, divided by `num_boxes`.

    A negative `alpha` weighs nothing. With a `group`, a process group or True for the default one, `num_boxes` is the
    number of this process: it is added up over the group, then at least 1, and the loss is multiplied by the number of
    processes, so that averaged gradients are those of one process.
    """
    check_group(group)
    check_shape("targets", targets, "`inputs`", inputs)
    total = _sigmoid_focal_loss(inputs, targets, alpha if alpha >= 0 else -1, gamma, "sum")
    total = total / max(inputs.shape[1], 1)
    return mean(total, num_boxes, group, 1.0) if is_shared(group) else total / num_boxes


@torch.no_grad()
def class_cost(logits: Tensor, target_ids: Tensor, alpha: float = 0.25, gamma: float = 2) -> Tensor:
    """Compute `class_cost` of the Hungarian matchers, the cost of each query (..., K) for each class index (M,).

    The result (queries, M) is float32 where logits are narrower: in float16 the matchers' own has infinite entries.
    """
    x = exact(logits.flatten(0, -2))
    if XP.readable(target_ids):
        checks.check_classes(XP.to_numpy(target_ids), x.shape[-1], None, "target_ids")
    target_ids = target_ids.long()  # bytes would be a mask
    # The fewer columns: those of the targets, or of all classes.
    if len(target_ids) < x.shape[-1]:
        cost = focal_matching_cost(x[:, target_ids], alpha, gamma, from_logits=True)
    else:
        cost = focal_matching_cost(x, alpha, gamma, from_logits=True)[:, target_ids]
    return cost.masked_fill(target_ids < 0, float("nan"))  # where it could not be read, -1 would be the last class


@answering
def compute_loss_func(
    gamma: ParameterLike,
    *,
    alpha: ParameterLike | None = None,
    ignore_index: int = COUNTED,
    shift: bool = False,
    label_smoothing: float = 0.0,
) -> Callable[..., Tensor]:
    """Make the focal loss of ``Trainer(..., compute_loss_func=compute_loss_func(gamma))``, for any head with `logits`.

    The sum of the losses is divided by `num_items_in_batch`, the labels that the trainer counts over all accumulated
    steps and, with `average_tokens_across_devices`, over all processes. So the gradient is that of the whole batch
    however it is split, unlike that of a mean of means. Without such a count the loss is a mean.

    Parameters
    ----------
    gamma : float or array_like, shape () or (K,)
        The focusing parameter, at least 0: a number, or one for each class. 0 is cross-entropy.
    alpha : float or array_like, shape () or (K,), optional
        The weight of each class, at least 0, which the divisor does not count. For a multi-label head it is the weight
        of the positives, in [0, 1], and 1 - `alpha` that of the negatives. 1 if None.
    ignore_index : int
        Labels of this value cost 0. The trainer counts the labels that are not -100, so that any other value is an
        error where there is a count.
    shift : bool
        For causal language models: the logits of each token predict the label of the next, and the last none. The
        labels are shifted, not the logits. Needs labels that the trainer has not sharded along their axis.
    label_smoothing : float
        The part of a label that is spread evenly over the classes, in [0, 1]. The trainer does not hand over its own
        `label_smoothing_factor`.

    Returns
    -------
    compute_loss : callable ``(outputs, labels, num_items_in_batch=None)``
        A function that gives a float32 number, or a float64 one for such logits. It can be pickled. `outputs` has
        `logits`, or has them first. Class indices have their shape without the last axis, (..., K). Labels of their own
        shape are those of a multi-label head: the loss is `sigmoid_focal_loss`, and each of them counts.

    Raises
    ------
    TypeError, ValueError
        If an option has the wrong type or is out of range; when called, if there are no logits or labels, if they do
        not go together, as those of regression, or if the count leaves out other labels than `ignore_index`.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch.compat.transformers import compute_loss_func
    >>> compute_loss = compute_loss_func(2.0)  # Trainer(..., compute_loss_func=compute_loss)
    >>> compute_loss
    compute_loss_func(2.0)
    >>> compute_loss({"logits": torch.zeros(2, 3, 5)}, torch.tensor([[0, 4, -100], [1, -100, -100]]), 10)
    tensor(0.3090)
    """
    return _ComputeLoss(gamma, alpha, ignore_index, shift, label_smoothing)


@dataclass(frozen=True, eq=False, repr=False)
class _ComputeLoss:
    gamma: Any
    alpha: Any
    ignore_index: int
    shift: bool
    label_smoothing: float

    def __post_init__(self) -> None:
        options.flag("shift", self.shift)
        checked(
            FocalOptions,
            gamma=self.gamma,
            alpha=self.alpha,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def __repr__(self) -> str:
        defaults = {"alpha": None, "ignore_index": COUNTED, "shift": False, "label_smoothing": 0.0}
        given = {name: getattr(self, name) for name in defaults}
        changed = [
            f"{name}={checks.shown(value)}"
            for name, value in given.items()
            if not (value is defaults[name] or (options.is_number(value) and value == defaults[name]))
        ]
        return f"compute_loss_func({', '.join([checks.shown(self.gamma), *changed])})"

    @naming("labels", "logits", class_weight="alpha", ignore_class="ignore_index")
    def __call__(self, outputs: Any, labels: Any, num_items_in_batch: Tensor | float | None = None) -> Tensor:
        logits = _logits(outputs)
        if not isinstance(labels, Tensor):
            raise TypeError(
                f"`labels` must be a tensor, got {checks.described(labels)}; the trainer hands over the entry `labels` "
                "of a batch"
            )
        if num_items_in_batch is not None and self.ignore_index != COUNTED:
            raise ValueError(
                f"`ignore_index` must be {COUNTED} beside `num_items_in_batch`, which counts all other labels, got "
                f"{self.ignore_index}; let the data collator write {COUNTED} for the labels to ignore"
            )
        indices = _holds_indices(labels, logits, self.shift)
        spec = self._of_indices() if indices else self._of_labels()
        compute: Callable[..., Tensor] = softmax_losses.sparse_categorical if indices else _sigmoids
        labels = labels.to(logits.device)
        if self.shift:
            labels = _shifted(labels, self.ignore_index)
        if num_items_in_batch is None:
            return compute(XP, labels, logits, spec, "mean")
        return _divided(lambda: compute(SUM, labels, logits, spec, "sum"), num_items_in_batch, logits)

    def _of_indices(self) -> SparseOptions:
        return checked(
            SparseOptions,
            gamma=self.gamma,
            class_weight=self.alpha,
            from_logits=True,
            ignore_class=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )

    def _of_labels(self) -> SigmoidOptions:
        weights = {} if self.alpha is None else {"apply_class_balancing": True, "alpha": self.alpha}
        return checked(
            SigmoidOptions,
            gamma=self.gamma,
            from_logits=True,
            label_smoothing=self.label_smoothing,
            ignore_class=self.ignore_index,
            **weights,
        )


_sigmoids = partial(binary_losses.binary_p_t_loss, average=False)


def _logits(outputs: Any) -> Tensor:
    """The logits of what a model returns without labels: a mapping such as `ModelOutput`, a tuple, or a tensor."""
    if isinstance(outputs, Mapping):
        found = outputs.get("logits")
    else:
        found = outputs[0] if isinstance(outputs, (tuple, list)) and outputs else outputs
    if not isinstance(found, Tensor):
        held = f"the keys {list(outputs)}" if isinstance(outputs, Mapping) else checks.described(outputs)
        raise TypeError(f"`outputs` must hold `logits`, or hold them first, got {held}")
    return found


def _holds_indices(labels: Tensor, logits: Tensor, shift: bool) -> bool:
    """Whether labels are class indices, beside labels of the shape of the logits; an error for neither."""
    if labels.shape == logits.shape:
        if shift:
            raise ValueError(f"`shift` needs class indices, got `labels` of shape {tuple(labels.shape)}, as the logits")
        return False
    floating, one = labels.is_floating_point(), logits.shape[-1:] == (1,)
    if labels.shape != logits.shape[:-1] or floating or one:
        remedy = ""
        if one:
            remedy = "; make the model with `num_labels=2`, or pass a label for each logit: one logit is a regression"
        elif floating:
            remedy = "; call `labels.long()` if they are class indices: numbers to predict have no focal loss"
        raise ValueError(
            f"`labels` of dtype {labels.dtype} and shape {tuple(labels.shape)} do not go with logits of shape "
            f"{tuple(logits.shape)}: they must be class indices of shape {tuple(logits.shape[:-1])}, of at least two "
            f"classes, or labels of the shape of the logits{remedy}"
        )
    if shift and not labels.ndim:
        raise ValueError("`shift` needs labels with an axis of tokens, got a single one")
    return True


def _shifted(labels: Tensor, ignore: int) -> Tensor:
    """The label of the next token, for each; the last is ignored. Bytes could not hold what marks it."""
    return functional.pad(labels.long(), (0, 1), value=ignore)[..., 1:]


def _divided(compute_sum: Callable[[], Tensor], count: Tensor | float, x: Tensor) -> Tensor:
    """A sum over the number of labels, without waiting for the device; 0 where none is counted."""
    if isinstance(count, Tensor) and count.dtype != torch.bool:
        # For n devices under `DataParallel` the trainer hands over n numbers, of which each is the count or an n-th of
        # it, and multiplies the loss by n where each is the count.
        count = count.to(x.device).sum()
    _normalizer.check_number("num_items_in_batch", count, shared=True)
    return _normalizer.divided(compute_sum, _normalizer.as_amount(count), x, None)


@answering
@naming("labels", "hidden_states", hidden="hidden_states", weight="lm_head_weight", class_weight="alpha")
def causal_focal_loss(
    hidden_states: Tensor,
    lm_head_weight: Tensor,
    labels: Tensor | None,
    gamma: ParameterLike,
    *,
    num_items_in_batch: Tensor | float | None = None,
    bias: Tensor | None = None,
    alpha: ParameterLike | None = None,
    ignore_index: int = COUNTED,
    shift_labels: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Compute the focal loss of a causal language model from its last hidden states, without its logits in memory.

    It is the same as the head and then ``compute_loss_func(gamma, shift=True)``: the hidden state of each token
    predicts the label of the next. The labels are shifted, not the hidden states. It is
    `linear_sparse_categorical_focal_loss`, and what is said there holds. For use inside the `forward` of a model: there
    FSDP has made the weights whole.

    Parameters
    ----------
    hidden_states : floating tensor, shape (..., T, D)
        The inputs of the head.
    lm_head_weight : floating tensor, shape (V, D), the dtype of `hidden_states`
        The weight of the head, which may be that of the embedding.
    labels : tensor of int, shape (..., T)
        The tokens themselves, as transformers has them: label t belongs to token t. Unused beside `shift_labels`.
    gamma : float or array_like, shape () or (V,)
        The focusing parameter, at least 0: a number, or one for each token of the vocabulary. 0 is cross-entropy.
    num_items_in_batch : int or tensor, optional
        The divisor of the sum of the losses: the trainer's count, which it hands to each `forward` that takes
        ``**kwargs``. The mean over the labels that are not ignored if None.
    bias : floating tensor, shape (V,), optional
        The bias of the head.
    alpha : float or array_like, shape () or (V,), optional
        The weight of each token of the vocabulary, at least 0, which the mean does not count. 1 if None.
    ignore_index : int
        Labels of this value cost 0.
    shift_labels : tensor of int, shape (..., T), optional
        Labels that are shifted already, as context parallelism and collators without padding make them.
    label_smoothing : float
        The part of a label that is spread evenly over the vocabulary, in [0, 1].

    Returns
    -------
    loss : Tensor
        A number, float32 or the dtype of `hidden_states` if that is wider.

    Raises
    ------
    TypeError, ValueError
        If an argument is wrong as described for `linear_sparse_categorical_focal_loss`, or if there are neither
        `labels` nor `shift_labels`.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch.compat.transformers import causal_focal_loss
    >>> embedding = torch.nn.Embedding(1000, 8)
    >>> tokens = torch.tensor([[5, 7, 2, 2]])
    >>> labels = torch.tensor([[-100, 7, 2, -100]])  # the first token is a prompt, the last is padding
    >>> loss = causal_focal_loss(0 * embedding(tokens), embedding.weight, labels, 2.0)
    >>> round(loss.item(), 3)
    6.894
    """
    if shift_labels is None:
        if labels is None:
            raise TypeError("`labels` must be a tensor of class indices, got None")
        shift_labels = _shifted(labels, ignore_index)

    def loss(reduction: options.Reduction) -> Tensor:
        return linear_sparse_categorical_focal_loss(
            hidden_states,
            lm_head_weight,
            shift_labels,
            gamma,
            bias=bias,
            class_weight=alpha,
            ignore_class=ignore_index,
            label_smoothing=label_smoothing,
            reduction=reduction,
        )

    if num_items_in_batch is None:
        return loss("mean")
    return _divided(lambda: loss("sum"), num_items_in_batch, hidden_states)
