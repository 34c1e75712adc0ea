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

# A name in other libraries -> the names here, of which a function has at most one.
REPLACEMENTS = {
    "ignore_index": ("ignore_class",),
    "ignore_label": ("ignore_class", "ignore_index"),
    "ignore_class": ("ignore_index",),
    **dict.fromkeys(("weight", "weights", "class_weights", *_WEIGHTS), _WEIGHTS),
    "dim": ("axis",),
    "smoothing": ("label_smoothing",),
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
    """The names in other libraries of these options, each with the name here."""
    return {
        theirs: here
        for theirs, candidates in REPLACEMENTS.items()
        for here in candidates
        if here in own and theirs not in own
    }


def refuse_others(name: str, options: Iterable[str], answers: Mapping[str, str]) -> None:
    for option in options:
        if option in answers:
            raise TypeError(f"`{name}` has no `{option}`; pass `{answers[option]}`")


def _answering(function: T, name: str) -> T:
    answers, refuse = answers_of(inspect.signature(function).parameters), refuse_others

    def call(*arguments: Any, **options: Any) -> Any:
        refuse(name, options, answers)
        return function(*arguments, **options)

    # The wrapper gets the globals of the function, by which doctest and warnings recognize its module.
    shown = FunctionType(call.__code__, inspect.unwrap(function).__globals__, name, None, call.__closure__)
    wrapped: T = functools.wraps(function)(shown)  # type: ignore[assignment]
    return wrapped
