"""The maps from logits to class posteriors as `torch.nn.Module`, for the last layer of a model that is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from focal_loss._core import posterior_maps
from focal_loss._core.declare import Options
from focal_loss._core.names import answering
from focal_loss._core.options import ParameterLike
from focal_loss.torch._backend import FORMULA
from focal_loss.torch._options import WithOptions


class _Posterior(WithOptions):
    """A map with its options as attributes."""

    if TYPE_CHECKING:  # torch does not type calls of a module

        def __call__(self, logits: Any) -> Tensor: ...

    def given(self, kind: type[Options], logits: Tensor) -> Any:
        """The options for these logits."""
        return kind(**{name: self.option(name, logits) for name in kind.checks})


@answering
class PosteriorFromLogits(_Posterior):
    """`focal_loss.calibration.posterior_from_logits` as a module: the last layer of a binary model, for its deployment.

    A model that was trained with focal loss has logits whose sigmoid is no probability. With this module after them, or
    after the model, what is exported gives probabilities.

    Parameters
    ----------
    gamma : float or array_like, a shape that broadcasts with the logits
        The focusing parameter that the model was trained with, at least 0. In a state dict an array is a buffer.
    pos_weight : float or array_like, optional
        The weight of the positives in training, above 0, if negatives have weight 1; for weights w1 of positives and w0
        of negatives, the ratio w1 / w0. 1 if None.
    temperature : float
        The number by which logits are divided first, in [1e-6, 1e6]: the `temperature_` of a
        `focal_loss.calibration.FocalTemperature`.

    Returns
    -------
    posterior : Tensor, the shape to which the arguments broadcast
        The probability of the positive class, on the device and in the dtype of the logits. float16 and bfloat16 are
        computed in float32 and rounded once. It has first derivatives in the logits, and in a `gamma` or `pos_weight`
        that is a parameter.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an option is out of range, or shapes do not broadcast.

    Notes
    -----
    The map rises with the logit, and has no parameters. `torch.export`, `torch.onnx.export` and `torch.compile` take
    it. The formula and its error are those of `focal_loss.calibration.posterior_from_logits` [1]_.

    References
    ----------
    .. [1] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import PosteriorFromLogits
    >>> PosteriorFromLogits(gamma=2)(torch.tensor([-2.0, 0.0, 2.0]))
    tensor([0.0045, 0.5000, 0.9955])
    """

    gamma: Any
    pos_weight: Any
    temperature: float

    def __init__(
        self, gamma: ParameterLike, *, pos_weight: ParameterLike | None = None, temperature: float = 1.0
    ) -> None:
        super().__init__()
        given = {"gamma": gamma, "pos_weight": pos_weight, "temperature": temperature}
        self.keep_options(posterior_maps.Binary, given)

    def forward(self, logits: Any) -> Tensor:
        """The posteriors of logits of any shape."""
        z = FORMULA.prediction(logits, "logits")
        given = self.given(posterior_maps.Binary, z)
        return posterior_maps.elementwise(FORMULA, "posterior", "logits", z, given)


@answering
class CategoricalPosteriorFromLogits(_Posterior):
    """`focal_loss.calibration.categorical_posterior_from_logits` as a module: the last layer of a softmax model, for
    its deployment.

    It takes the place of the softmax.

    Parameters
    ----------
    gamma : float or array_like, shape () or (K,)
        The focusing parameter that the model was trained with, at least 0. In a state dict an array is a buffer.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class in training, above 0. 1 if None.
    logit_adjustment : array_like, shape (K,), optional
        The numbers that training added to the logits before the loss, such as
        ``focal_loss.weights.logit_adjustment(counts)``. The logits of the module are those without.
    axis : int
        The axis of the logits that holds the classes.
    temperature : float
        The number by which logits, with their adjustment, are divided first, in [1e-6, 1e6]: the `temperature_` of a
        `focal_loss.calibration.FocalTemperature`.

    Returns
    -------
    posterior : Tensor, the shape of the logits
        The probability of each class, with sum 1, on the device and in the dtype of the logits. float16 and bfloat16
        are computed in float32 and rounded once. It has first derivatives in the logits, and in options that are
        parameters.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an option is out of range or has the wrong shape.

    Notes
    -----
    The module has no parameters. `torch.export`, `torch.onnx.export` and `torch.compile` take it. With weights of the
    classes the most probable class need not have the largest logit. The formula and its error are those of
    `focal_loss.calibration.categorical_posterior_from_logits` [1]_.

    References
    ----------
    .. [1] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> import torch
    >>> from focal_loss.torch import CategoricalPosteriorFromLogits
    >>> CategoricalPosteriorFromLogits(gamma=2)(torch.tensor([[1.0, 0.0, -1.0]]))
    tensor([[0.8838, 0.0875, 0.0287]])
    """

    gamma: Any
    class_weight: Any
    logit_adjustment: Any
    axis: int
    temperature: float

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        class_weight: ParameterLike | None = None,
        logit_adjustment: ParameterLike | None = None,
        axis: int = -1,
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        given = {
            "gamma": gamma,
            "class_weight": class_weight,
            "logit_adjustment": logit_adjustment,
            "axis": axis,
            "temperature": temperature,
        }
        self.keep_options(posterior_maps.Categorical, given)

    def forward(self, logits: Any) -> Tensor:
        """The posteriors of logits with an axis of classes."""
        z = FORMULA.prediction(logits, "logits")
        return posterior_maps.softmax(FORMULA, "logits", z, self.given(posterior_maps.Categorical, z))
