"""The names of other libraries: for an option an error that gives the name here, and errors in their words."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

_WEIGHTS = ("class_weight", "pos_weight", "alpha")

# A name in other libraries -> the names here, of which the first that a function has is meant.
REPLACEMENTS = {
    "ignore_index": ("ignore_class",),
    "ignore_label": ("ignore_class", "ignore_index"),
    "ignore_class": ("ignore_index",),
    **dict.fromkeys(("weight", "weights", "class_weights", *_WEIGHTS), _WEIGHTS),
    "dim": ("axis",),
    "smoothing": ("label_smoothing",),
}
# What to do where the name here stands for another number.
CONVERSIONS = {
    ("weight", "pos_weight"): "pass `pos_weight` for the positives, or multiply unreduced losses by it",
    ("alpha", "pos_weight"): "pass `pos_weight=alpha / (1 - alpha)`",
    ("pos_weight", "alpha"): "pass `alpha`, which is another number",
    **{
        (theirs, "pos_weight"): f"pass `pos_weight={theirs}[1] / {theirs}[0]`"
        for theirs in ("weights", "class_weight", "class_weights")
    },
}


@contextmanager
def in_words(words: Mapping[str, str]) -> Iterator[None]:
    """Give the errors of the functions beneath the names that the caller used."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error)
        for here, theirs in words.items():
            message = message.replace(here, theirs)
        raise type(error)(message) from None


def answering(target: T) -> T:
    """Decorate a function or class to raise, for an option's name in other libraries, a `TypeError` that gives its name
    here.
    """
    if inspect.isclass(target):
        target.__init__ = _answering(target.__init__, target.__name__)  # type: ignore[method-assign]
        return target
    return _answering(target, getattr(target, "__name__", "the function"))


def answers_of(own: Container[str]) -> dict[str, str]:
    """The names in other libraries of these options, each with what to pass here."""
    meant = {
        theirs: next((here for here in candidates if here in own), None)
        for theirs, candidates in REPLACEMENTS.items()
        if theirs not in own
    }
    return {
        theirs: CONVERSIONS.get((theirs, here), f"pass `{here}`") for theirs, here in meant.items() if here is not None
    }


def refuse_others(name: str, options: Iterable[str], answers: Mapping[str, str]) -> None:
    for option in options:
        if option in answers:
            raise TypeError(f"`{name}` has no `{option}`; {answers[option]}")


def _answering(function: T, name: str) -> T:
    answers, refuse = answers_of(inspect.signature(function).parameters), refuse_others

    def call(*arguments: Any, **options: Any) -> Any:
        refuse(name, options, answers)
        return function(*arguments, **options)

    # The wrapper gets the globals of the function, by which doctest and warnings recognize its module.
    shown = FunctionType(call.__code__, inspect.unwrap(function).__globals__, name, None, call.__closure__)
    wrapped: T = functools.wraps(function)(shown)  # type: ignore[assignment]
    return wrapped
