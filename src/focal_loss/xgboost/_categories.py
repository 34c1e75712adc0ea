"""Categories that XGBoost mixes up."""

from __future__ import annotations

from typing import Any

import xgboost

# Up to 3.2 XGBoost counts the letters of the categories of pandas where it should count their bytes: of Bonn, Köln and
# Ulm it makes Bonn, Köl and nUl, and takes one for another in a table that has them in another order.
FIXED = (3, 3)


def refuse_words(*tables: Any) -> None:
    """Raise `ValueError` for a table of pandas or Dask with categories that this XGBoost mixes up."""
    if tuple(map(int, xgboost.__version__.split(".")[:2])) >= FIXED:
        return
    for table in tables:
        for name, dtype in table.dtypes.items() if hasattr(getattr(table, "dtypes", None), "items") else ():
            words = getattr(dtype, "categories", None)
            others = [] if words is None else [word for word in words if not str(word).isascii()]
            if others:
                raise ValueError(
                    f"the categories of column {name!r} must be ASCII, because XGBoost {xgboost.__version__} mixes up "
                    f"others, got {others[0]!r}; take `X[{name!r}].cat.rename_categories(ascii)`"
                )
