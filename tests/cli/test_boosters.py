"""The boosters as the command sees them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from focal_loss._command import boosters


@pytest.mark.parametrize("engine", list(boosters.BOOSTERS))
def test_words_of_any_alphabet_are_as_those_of_ascii(engine: str) -> None:
    rng = np.random.default_rng(0)
    towns = rng.choice(["Bonn", "Köln", "Łódź", "東京"], 400)
    y = np.isin(towns, ["Köln", "東京"]) ^ (rng.random(400) < 0.1)
    found = []
    for words in (towns, np.unique(towns, return_inverse=True)[1].astype(str)):
        table, extra = boosters.columns_for(engine, pd.DataFrame({"town": pd.Categorical(words)}))
        booster = boosters.booster(engine)
        model = booster.focal(**booster.parameters({"gamma": 2.0}, 20, 1, 0), **extra).fit(table, y)
        found.append(model.predict_proba(table)[:, 1])
        few = pd.Categorical(words[:3], categories=np.unique(words))
        part, _ = boosters.columns_for(engine, pd.DataFrame({"town": few}))
        np.testing.assert_array_equal(model.predict_proba(part)[:, 1], found[-1][:3])
    assert np.ptp(found[0]) > 0.1
    if engine != "catboost":  # it orders words by their hashes
        np.testing.assert_array_equal(*found)


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
