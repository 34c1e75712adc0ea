"""The maps from logits to class posteriors as Keras layers, for the last layer of a model that is deployed."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from focal_loss._core import posterior_maps
from focal_loss._core.declare import Options
from focal_loss._core.names import answers_of, refuse_others
from focal_loss._core.options import ParameterLike, check_per_class
from focal_loss._core.pipeline import Backend
from focal_loss._core.shapes import Shape, broadcast_shape, normalize_axis
from focal_loss._dispatch.frameworks import formula_for
from focal_loss.keras._backend import plain


class Fixed:
    """An option as an attribute that cannot be set, because a compiled program would keep its first value."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else plain(instance._given[self.name])

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(f"`{self.name}` is fixed when the layer is made; make a new layer")


class _Posterior(keras.layers.Layer):
    """A map with its options, which are numbers and lists."""

    kind: type[Options]

    def __init__(self, given: dict[str, Any], kwargs: dict[str, Any]) -> None:
        refuse_others(type(self).__name__, kwargs, answers_of(given))  # Keras reads the signature of the constructor
        super().__init__(**kwargs)
        self.kind(**{name: plain(v) if isinstance(v, keras.Variable) else v for name, v in given.items()})
        self._given = plain(given)
        self._spec: Any = self.kind(**self._given)  # tensors are read only now
        self.supports_masking = True
        self.built = True

    def call(self, logits: Any) -> Any:
        """The posteriors of logits."""
        if keras.backend.backend() != "numpy":
            return self.posterior(formula_for(logits), logits)
        with np.errstate(all="ignore"):  # what overflows has a limit
            return self.posterior(formula_for(logits), logits)

    def posterior(self, xp: Backend, logits: Any) -> Any:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **plain(self._given)}

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of an option: () for a number or None."""
        value, shape = self._given[name], []
        while isinstance(value, list):
            shape.append(len(value))
            value = value[0] if value else None
        return tuple(shape)


@keras.saving.register_keras_serializable("focal_loss", "PosteriorFromLogits")
class PosteriorFromLogits(_Posterior):
    """`focal_loss.calibration.posterior_from_logits` as a Keras layer: the last one of a binary model, for its
    deployment.

    A model that was trained with focal loss has logits whose sigmoid is no probability. With this layer after the
    model, what is saved or exported gives probabilities.

    Parameters
    ----------
    gamma : float or array_like, a shape that broadcasts with the logits
        The focusing parameter that the model was trained with, at least 0. A tensor or variable is read once.
    pos_weight : float or array_like, optional
        The weight of the positives in training, above 0, if negatives have weight 1; for weights w1 of positives and w0
        of negatives, the ratio w1 / w0. 1 if None.
    temperature : float
        The number by which logits are divided first, in [1e-6, 1e6]: the `temperature_` of a
        `focal_loss.calibration.FocalTemperature`.
    **kwargs
        Those of every Keras layer, such as `name` and `dtype`.

    Returns
    -------
    posterior : tensor, the shape to which the arguments broadcast
        The probability of the positive class, in the dtype of the layer. float16 and bfloat16 are computed in float32
        and rounded once. It has first derivatives in the logits.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an option is out of range, or shapes do not broadcast.

    Notes
    -----
    The layer has no weights. Options cannot be set once it is made. Under a mixed policy of dtypes pass
    ``dtype="float32"``, as for any last layer. The formula and its error are those of
    `focal_loss.calibration.posterior_from_logits` [1]_.

    References
    ----------
    .. [1] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> import keras
    >>> from focal_loss.keras.layers import PosteriorFromLogits
    >>> posterior = PosteriorFromLogits(gamma=2)(keras.ops.array([-2.0, 0.0, 2.0]))
    >>> keras.ops.convert_to_numpy(posterior).round(4)
    array([0.0045, 0.5   , 0.9955], dtype=float32)
    """

    kind = posterior_maps.Binary
    gamma = Fixed()
    pos_weight = Fixed()
    temperature = Fixed()

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        pos_weight: ParameterLike | None = None,
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__({"gamma": gamma, "pos_weight": pos_weight, "temperature": temperature}, kwargs)

    def posterior(self, xp: Backend, logits: Any) -> Any:
        return posterior_maps.elementwise(xp, "posterior", "logits", logits, self._spec)

    def compute_output_shape(self, logits_shape: Shape) -> tuple[int | None, ...]:
        shape = logits_shape
        for name in ("gamma", "pos_weight"):
            shape = broadcast_shape((name, self.shape_of(name)), ("logits", shape))
        return tuple(shape)


@keras.saving.register_keras_serializable("focal_loss", "CategoricalPosteriorFromLogits")
class CategoricalPosteriorFromLogits(_Posterior):
    """`focal_loss.calibration.categorical_posterior_from_logits` as a Keras layer: the last one of a softmax model, for
    its deployment.

    It takes the place of the softmax.

    Parameters
    ----------
    gamma : float or array_like, shape () or (K,)
        The focusing parameter that the model was trained with, at least 0. A tensor or variable is read once.
    class_weight : float or array_like, shape () or (K,), optional
        The weight of each class in training, above 0. 1 if None.
    logit_adjustment : array_like, shape (K,), optional
        The numbers that training added to the logits before the loss, such as
        ``focal_loss.weights.logit_adjustment(counts)``. The logits of the layer are those without.
    axis : int
        The axis of the logits that holds the classes.
    temperature : float
        The number by which logits, with their adjustment, are divided first, in [1e-6, 1e6]: the `temperature_` of a
        `focal_loss.calibration.FocalTemperature`.
    **kwargs
        Those of every Keras layer, such as `name` and `dtype`.

    Returns
    -------
    posterior : tensor, the shape of the logits
        The probability of each class, with sum 1, in the dtype of the layer. float16 and bfloat16 are computed in
        float32 and rounded once. It has first derivatives in the logits.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If an option is out of range or has the wrong shape.

    Notes
    -----
    The layer has no weights. Options cannot be set once it is made. Under a mixed policy of dtypes pass
    ``dtype="float32"``, as for any last layer. With weights of the classes the most probable class need not have the
    largest logit. The formula and its error are those of `focal_loss.calibration.categorical_posterior_from_logits`
    [1]_.

    References
    ----------
    .. [1] N. Charoenphakdee, J. Vongkulbhisal, N. Chairatanakul and M. Sugiyama, "On focal loss for class-posterior
       probability estimation: a theoretical perspective", CVPR 2021, arXiv:2011.09172.

    Examples
    --------
    >>> import keras
    >>> from focal_loss.keras.layers import CategoricalPosteriorFromLogits
    >>> posterior = CategoricalPosteriorFromLogits(gamma=2)(keras.ops.array([[1.0, 0.0, -1.0]]))
    >>> keras.ops.convert_to_numpy(posterior).round(4)
    array([[0.8838, 0.0875, 0.0287]], dtype=float32)
    """

    kind = posterior_maps.Categorical
    gamma = Fixed()
    class_weight = Fixed()
    logit_adjustment = Fixed()
    axis = Fixed()
    temperature = Fixed()

    def __init__(
        self,
        gamma: ParameterLike,
        *,
        class_weight: ParameterLike | None = None,
        logit_adjustment: ParameterLike | None = None,
        axis: int = -1,
        temperature: float = 1.0,
        **kwargs: Any,
    ) -> None:
        given = {
            "gamma": gamma,
            "class_weight": class_weight,
            "logit_adjustment": logit_adjustment,
            "axis": axis,
            "temperature": temperature,
        }
        super().__init__(given, kwargs)

    def posterior(self, xp: Backend, logits: Any) -> Any:
        return posterior_maps.softmax(xp, "logits", logits, self._spec)

    def compute_output_shape(self, logits_shape: Shape) -> tuple[int | None, ...]:
        axis = normalize_axis(self._spec.axis, len(logits_shape), "logits")
        for name in ("gamma", "class_weight", "logit_adjustment"):
            check_per_class(name, self.shape_of(name), logits_shape[axis])
        return tuple(logits_shape)
