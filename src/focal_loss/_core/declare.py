"""The declaration of a loss: its options, its documentation, its computation. `tools/doors.py` writes the public
functions and classes from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeVar, dataclass_transform

Layout = Literal["elements", "average", "dense", "sparse", "unlabeled"]
REQUIRED: Any = MISSING


LIN = """T. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal loss for dense object detection", ICCV 2017,
arXiv:1708.02002, equations 4 and 5."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of option: its check, its annotation, and invalid values for the tests."""

    check: Callable[[str, Any], Any]  # (name, value) -> the value for the computation, or an error
    annotation: str
    invalid: tuple[tuple[Any, type[Exception], str], ...]  # (value, error, part of its message)


@dataclass(frozen=True)
class Option:
    """An option of a loss without its name and default, which the field of the dataclass holds."""

    kind: Kind
    type: str  # the type in docstrings, after the name
    says: str  # the description in docstrings


def option(declared: Option, *, default: Any = REQUIRED) -> Any:
    """A field of `Options`."""
    return field(default=default, metadata={"option": declared})


@dataclass_transform(frozen_default=True, eq_default=False, field_specifiers=(option, field))
def options(kind: type[Declared]) -> type[Declared]:
    """A frozen dataclass whose fields are options, checked when it is made."""
    made = dataclass(frozen=True, eq=False)(kind)
    declared = made.declared()
    made.checks = {name: option.kind.check for name, (option, _) in declared.items()}
    made.arrays = tuple(name for name, (option, _) in declared.items() if option.kind.annotation == "ParameterLike")
    made.required = tuple(name for name, (_, default) in declared.items() if default is REQUIRED)
    return made


@dataclass(frozen=True, eq=False)
class Options:
    """The options of one call of a loss, checked, each under its own name."""

    checks: ClassVar[dict[str, Callable[[str, Any], Any]]]
    arrays: ClassVar[tuple[str, ...]]  # the options that may be arrays
    required: ClassVar[tuple[str, ...]]  # the options without a default
    weight_name: ClassVar[str] = ""  # what the loss calls its weights

    def __post_init__(self) -> None:
        for name, check in self.checks.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))

    @property
    def values(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.checks}

    @classmethod
    def declared(cls) -> dict[str, tuple[Option, Any]]:
        """Name -> the option and its default."""
        return {f.name: (f.metadata["option"], f.default) for f in fields(cls)}


Declared = TypeVar("Declared", bound=Options)


@dataclass(frozen=True)
class Example:
    """A call whose result is known: the example of every docstring."""

    y_true: Any
    y_pred: Any
    options: dict[str, Any]
    result: Any  # to six digits
    words: str = ""  # the text above it


@dataclass(frozen=True)
class Curve:
    """The picture of a loss: a line for each value of an option, beside each other for several labels."""

    option: str
    values: tuple[float, ...]
    labels: tuple[float, ...] = (1.0, 0.0)


@dataclass(frozen=True)
class Peer:
    """The same loss in another library, for the page of the loss."""

    library: str
    call: str  # how users of that library call it
    here: str  # the same call here, and where its numbers differ


@dataclass(frozen=True)
class Loss:
    """One loss, in every framework.

    `layout` says what the result is: "elements", one loss for each label and prediction that broadcast; "average", the
    mean of these over an axis; "dense" and "sparse", one for each example, from a probability for each class or from
    the index of a class. "unlabeled" is as "elements" without labels: a function alone, without classes and reductions.
    """

    name: str
    summary: str  # the first line of docstrings
    layout: Layout
    options: type[Options]
    positional: int  # how many options may be given by position
    compute: Callable[..., Any]  # (backend, y_true, y_pred, options, reduction) -> the loss
    notes: str  # the domain and the formula
    example: Example
    when: str  # when to take this loss, and when another: the page of the loss begins with it
    curve: Curve
    peers: tuple[Peer, ...]
    labels: tuple[tuple[str, str], ...] = ()  # (the label of an example, the task): rows of the table in the docs
    references: str = LIN
    examples: Mapping[str, str] = field(default_factory=dict)  # module -> an example of its own
    torch_module: bool = False
    keras_positional: int | None = None  # the same for the Keras loss, where it differs
    keras_positional_because: str = ""
    keras_reduction_at: int | None = None  # after so many options `reduction`, `name` and `dtype` follow by position
    trial: Mapping[str, Any] = field(default_factory=dict)  # options with which the tests call it
    closed_forms: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # families of `formula`
    label_weight: Callable[..., Any] | None = None  # (backend, label, weight) -> the weight of a label, elementwise
    only_ones: bool = False  # whether no label but 1 counts as a positive; else all do, by their size
    formula: str = ""  # in Python, of y, p, q = 1 - p and the options; the six focal losses have tests by hand instead

    @property
    def labeled(self) -> bool:
        return self.layout != "unlabeled"

    @property
    def class_name(self) -> str:
        return "".join(word.capitalize() for word in self.name.split("_"))

    def __repr__(self) -> str:
        return self.name


PLAIN = (int, float, bool, str, type(None))


def checked(kind: type[Declared], **values: Any) -> Declared:
    """``kind(**values)``, cached if every value is plain, because training loops repeat the same options."""
    for value in values.values():
        if type(value) not in PLAIN:
            return kind(**values)
    return _remembered(kind, **values)  # type: ignore[arg-type]


@lru_cache(maxsize=256, typed=True)
def _remembered(kind: Callable[..., Declared], **values: Any) -> Declared:
    return kind(**values)
