"""Calls like earlier ones: the key that tells their options apart, and the memory that holds them by their keys."""

from __future__ import annotations

from typing import Any, TypeVar

from focal_loss._core.declare import PLAIN

T = TypeVar("T")

MOST = 256  # more than a program repeats; a gamma that changes with each step fills it
_PLAIN = frozenset(PLAIN)


def typed(options: tuple[Any, ...]) -> Any:
    """The options with their types, because 1, 1.0 and True are equal, and differ as options; None if one is not plain:
    an array cannot be a key, and may change.
    """
    types = (*map(type, options),)
    return (types, options) if _PLAIN.issuperset(types) else None


class Memory(dict[Any, T]):
    """A memory of calls by their keys. It begins anew when it is full."""

    def note(self, key: Any, known: T) -> None:
        if len(self) >= MOST:
            self.clear()
        self[key] = known
