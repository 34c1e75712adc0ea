"""The Python door to a directory of `focal-loss fit`: `load` and `Model`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator, ClassifierMixin

from focal_loss._command import tables
from focal_loss._command.delimited import refuse_twins
from focal_loss._command.errors import UserError, first_line, nearest
from focal_loss._command.recognition import PLAINLY
from focal_loss._command.sources import Source
from focal_loss._command.store import Stored
from focal_loss._core.warnings import warn

Array = Any
WHOLE = r"\s*[+-]?(0|[1-9]\d*)\s*"  # not a code such as 007
TABLE = Source(Path("X"))  # stands for a file in messages


def load(directory: str | os.PathLike[str]) -> Model:
    """The model in a directory that `focal-loss fit` wrote. No code in it is run, and no pickle is read.

    Parameters
    ----------
    directory : str or path
        The directory, `--out` of `focal-loss fit`.

    Returns
    -------
    model : Model
        A fitted classifier of scikit-learn, for tables of pandas with the columns of the training file.
        ``predict_proba(X)`` has shape (n, 2), in the order of ``classes_``; ``predict(X)`` has shape (n,), at
        ``threshold``; ``schema`` holds the columns, and ``positive`` the class that the model looks for.

    Raises
    ------
    ModuleNotFoundError
        If the model's booster, pandas, PyArrow or scikit-learn is not installed.
    ValueError
        If the directory holds no model, or the model is damaged, or a newer version made it.

    Examples
    --------
    >>> import tempfile
    >>> import focal_loss
    >>> from focal_loss._command.cli import main  # `focal-loss` in a shell
    >>> from sklearn.datasets import load_breast_cancer
    >>> table = load_breast_cancer(as_frame=True).frame
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.to_csv(f"{folder}/data.csv", index=False)
    ...     options = f"--target target --trials 1 --folds 2 --jobs 1 --out {folder}/model"
    ...     _ = main(["fit", f"{folder}/data.csv", *options.split()])  # doctest: +ELLIPSIS
    ...     model = focal_loss.load(f"{folder}/model")
    No difference that this data can show: ...
    >>> model.classes_
    array([0, 1])
    >>> model.predict_proba(table[:2]).round(1)
    array([[1., 0.],
           [1., 0.]])
    >>> model.predict(table[:2])
    array([0, 0])
    """
    with as_value_errors():
        return Model(directory, Stored.load(Path(directory)))


class Model(ClassifierMixin, BaseEstimator):
    """A model of `focal-loss fit`, as a fitted classifier of scikit-learn. `focal_loss.load` makes it.

    It takes part wherever scikit-learn takes a fitted classifier: metrics and scorers, `CalibrationDisplay`,
    `PrecisionRecallDisplay`, `permutation_importance`. It is never trained again: `fit` raises an error, and
    `sklearn.base.clone` returns the model itself.

    Parameters
    ----------
    directory : str or path
        The directory that it was read from.
    stored : Stored
        Its content.

    Attributes
    ----------
    classes_ : array, shape (2,)
        The two classes, sorted, as pandas reads them from the training file: integers, other numbers, booleans or
        strings. Where more than two classes were trained as one against the others, they are strings such as "no" and
        "not no".
    positive : int, float, bool or str
        The class that the model looks for: `threshold` is for its probability.
    threshold : float
        The least probability of `positive` at which `predict` gives it.
    schema : Schema
        The columns that the model needs: `schema.columns` is a tuple, each with `name`, `kind` and `categories`.
    feature_names_in_ : array of str
        The names of these columns.
    """

    def __init__(self, directory: str | os.PathLike[str], stored: Stored) -> None:
        self._directory, self._stored = os.fspath(directory), stored
        labels = _labels(stored.negative, stored.positive)
        self.positive = labels[1]
        self.classes_ = np.sort(np.array(labels))
        self.feature_names_in_ = np.array([column.name for column in stored.schema.columns], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)

    @property
    def threshold(self) -> float:
        return float(self._stored.threshold)

    @property
    def schema(self) -> tables.Schema:
        return self._stored.schema

    def predict_proba(self, X: pd.DataFrame) -> Array:
        """The probability of each class.

        Parameters
        ----------
        X : DataFrame
            A table with the columns of the training file, in any order; others are ignored. None of it is changed.

        Returns
        -------
        probabilities : array of float64, shape (n, 2)
            In the order of `classes_`.

        Raises
        ------
        TypeError
            If `X` is no table of pandas.
        ValueError
            If a column is missing, comes twice, or holds another kind of values than in training.

        Warns
        -----
        UserWarning
            If a column holds words that it did not hold in training, which count as missing, or no value at all.
        """
        positive = self._probability(X)
        pair = (1 - positive, positive) if self.classes_[1] == self.positive else (positive, 1 - positive)
        return np.column_stack(pair)

    def predict(self, X: pd.DataFrame) -> Array:
        """The class of each row: `positive` where its probability is at least `threshold`.

        Parameters
        ----------
        X : DataFrame
            As in `predict_proba`, with the same errors and warnings.

        Returns
        -------
        labels : array, shape (n,)
            They have the type of `classes_`.
        """
        flagged = self._probability(X) >= self.threshold
        return self.classes_[np.where(flagged, *((1, 0) if self.classes_[1] == self.positive else (0, 1)))]

    def fit(self, X: Any = None, y: Any = None) -> NoReturn:
        """Raise a `TypeError`: a stored model is fitted. Run `focal-loss fit` for another."""
        raise TypeError("a stored model cannot be fitted again; run `focal-loss fit`, or wrap it in `FrozenEstimator`")

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """No parameters: `set_params` could not change a stored model."""
        return {}

    def __sklearn_clone__(self) -> Model:
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        return f"focal_loss.load({self._directory!r})"

    def _probability(self, X: pd.DataFrame) -> Array:
        if not isinstance(X, pd.DataFrame):
            raise TypeError(f"`X` must be a pandas DataFrame with the columns of the training file, got {type(X)}")
        with as_value_errors():
            probability, notes = self._stored.probability(_arrow(X, self.schema), TABLE)
        for note in notes:
            warn(note)
        return probability


@contextmanager
def as_value_errors() -> Iterator[None]:
    """Turn a `UserError` of the command into a `ValueError`, except for a missing library."""
    try:
        yield
    except UserError as error:
        if isinstance(error.__cause__, ModuleNotFoundError):
            raise ModuleNotFoundError(str(error), name=error.__cause__.name) from error
        raise ValueError(str(error)) from error


def _arrow(X: pd.DataFrame, schema: tables.Schema) -> pa.Table:
    """The columns of a table that a model needs, as if read from a file."""
    refuse_twins([str(name) for name in X.columns], TABLE)
    found = {}
    for column in schema.columns:
        if column.name not in X.columns:
            near = nearest(column.name, [str(name) for name in X.columns])
            raise UserError(f"{TABLE} has no column {column.name!r}, which the model needs; {near}")
        try:
            values = pa.chunked_array([pa.array(X[column.name], from_pandas=True)])
        except pa.ArrowException as error:
            raise UserError(f"{TABLE}: column {column.name!r} holds mixed values: {first_line(error)}") from error
        found[column.name] = values
    return pa.table(found)


def _labels(*words: str) -> tuple[Any, ...]:
    """The labels of a file as pandas reads them: all integers, or all numbers, or all booleans, else words."""
    lower = [word.lower() for word in words]
    if set(lower) == {"true", "false"}:
        return tuple(word == "true" for word in lower)
    for kind, form in ((int, WHOLE), (float, PLAINLY)):
        if all(re.fullmatch(form, word) for word in words):
            return tuple(map(kind, words))
    return words
