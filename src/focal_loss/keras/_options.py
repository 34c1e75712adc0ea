"""The options of a loss or metric as attributes: checked when they are set, and an error where setting has no
effect.
"""

from __future__ import annotations

from typing import Any

import keras

from focal_loss._core.options import Reduction
from focal_loss.keras._backend import DECLARED, backend_function, compiling, is_tracer, plain


def check(loss_name: str, given: dict[str, Any]) -> None:
    values = {name: plain(v) if isinstance(v, keras.Variable) else v for name, v in given.items()}
    DECLARED[loss_name].options(**values)


class Option:
    """An option as an attribute. If it holds a `keras.Variable`, setting a number assigns it to the variable."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type) -> Any:
        return self if instance is None else instance._options[self.name]

    def __set__(self, instance: Any, value: Any) -> None:
        options, name = instance._options, self.name
        current = options[name]
        check(instance.loss_name, {**options, name: value})
        number = not isinstance(value, keras.Variable)
        if isinstance(current, keras.Variable) and number and value is not None:
            current.assign(value)
        elif instance._compiled and value is not current and not (number and plain(value) == plain(current)):
            raise RuntimeError(
                f"`{name}` has been compiled into a program as {plain(current)} and would stay that there: build the "
                f"object with `{name}=keras.Variable({plain(current)}, trainable=False)` and set it to other numbers, "
                "or build a new object and compile the model again"
            )
        else:
            options[name] = value


class WithOptions:
    """A loss or metric with `Option`s. Its dictionary holds the values that the caller gave."""

    loss_name = ""
    _compiled = False  # whether a compiled program contains the options' numbers

    def _set_options(self, options: dict[str, Any]) -> None:
        check(self.loss_name, options)
        self._options = options

    def _computed(self, y_true: Any, y_pred: Any, reduction: Reduction = "none") -> Any:
        """The function of the backend, called with the current options."""
        compiled = compiling(y_pred)
        if compiled and not self._compiled:
            self._compiled = True
        options = {name: self._value(name, option, compiled) for name, option in self._options.items()}
        return backend_function(self.loss_name, reduction)(y_true, y_pred, **options)

    def _value(self, name: str, option: Any, compiled: bool) -> Any:
        if not isinstance(option, keras.Variable):
            return option
        value = option.value
        if compiled and keras.backend.backend() == "jax" and not is_tracer(value):
            raise RuntimeError(
                f"`{name}` is a keras.Variable that the model does not have among its weights, and the JAX backend "
                f"would compile its number in: set `model.{name} = variable` before `model.compile`"
            )
        return value
