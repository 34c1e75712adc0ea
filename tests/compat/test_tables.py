"""Columns of polars are arrays of NumPy by intention; `make test-compat` installs the library and runs this."""

from __future__ import annotations

import numpy as np
import polars
import pytest

from focal_loss import calibration, set_backend
from focal_loss import numpy as ours

Y, Z = [1, 0, 1], [0.5, -1.5, 3.0]


@pytest.mark.parametrize(("kind", "dtype"), [(polars.Float64, "float64"), (polars.Float32, "float32")])
def test_columns_become_numpy(kind: type, dtype: str) -> None:
    set_backend("numpy")
    exact = ours.binary_focal_loss(Y, np.array(Z, dtype), 2, pos_weight=[1.0, 2.0, 3.0], from_logits=True)
    columns = {"pos_weight": polars.Series([1.0, 2.0, 3.0]), "from_logits": True}
    found = ours.binary_focal_loss(polars.Series(Y), polars.Series(Z, dtype=kind), 2, **columns)
    assert type(found) is np.ndarray
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, exact)
    posterior = calibration.posterior_from_logits(polars.Series(Z, dtype=kind), 2)
    np.testing.assert_array_equal(posterior, calibration.posterior_from_logits(np.array(Z, dtype), 2))
    set_backend(None)


def test_a_frame_is_a_table() -> None:
    frame = polars.DataFrame({"a": Z, "b": Y})
    found = ours.binary_focal_loss(np.ones((3, 2)), frame, 2, from_logits=True)
    np.testing.assert_array_equal(found, ours.binary_focal_loss(np.ones((3, 2)), frame.to_numpy(), 2, from_logits=True))


@pytest.mark.parametrize(
    "column", [polars.Series([0.5, None, 1.0]), polars.Series([1, None, 0]), polars.DataFrame({"a": [0.5, None, 1.0]})]
)
def test_missing_entries_are_refused(column: polars.Series) -> None:
    for arguments in ((column, Z), (Y, column)):
        with pytest.raises(ValueError, match="must hold a value in every place, got 1 masked or missing"):
            ours.binary_focal_loss(*arguments, 2, from_logits=True)


def test_what_is_no_column_of_numbers() -> None:
    for value, text in ((polars.Series(["a", "b", "c"]), "dtype String"), (polars.LazyFrame({"a": Z}), "LazyFrame")):
        with pytest.raises(TypeError, match=f"`y_pred` must be an array of real numbers, got {text}"):
            ours.binary_focal_loss(Y, value, 2, from_logits=True)
