"""The boosters as the command sees them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from focal_loss._command import boosters


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("engine", list(boosters.BOOSTERS))
def test_contributions_add_up_to_the_score(engine: str, plain: bool) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"number": rng.normal(size=400), "useless": np.zeros(400)})
    X.loc[::7, "number"] = np.nan
    X["kind"] = pd.Categorical(np.where(np.arange(400) % 13 == 0, None, rng.choice(["a", "b", "c"], 400)))
    y = (X.number.fillna(0) + 2 * (X.kind == "a") + rng.normal(size=400) > 1).to_numpy()
    booster = boosters.booster(engine)
    table, extra = boosters.columns_for(engine, X)
    make = booster.plain if plain else booster.focal
    model = make(**booster.parameters({} if plain else {"gamma": 2.0}, 20, 1, 0), **extra).fit(table, y)
    found = boosters.contributions(model, table)
    assert found.shape == (400, 4)
    np.testing.assert_allclose(found.sum(axis=1), boosters.raw(model, table), atol=1e-4)
    assert not found[:, 1].any(), "a constant column adds nothing"
    high, low = X.number > 1, X.number < -1
    assert found[high, 0].mean() > 0 > found[low, 0].mean()
