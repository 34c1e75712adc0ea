"""The libraries that tests are found to need, by which `--libraries` selects them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from selection import SOURCE, TESTS, lacking, of_file, of_function, of_item, pytest_configure


@pytest.mark.parametrize(
    ("file", "libraries"),
    [
        ("test_words.py", set()),
        ("test_numbers.py", set()),  # imports frameworks in functions only
        ("test_torch.py", {"torch"}),
        ("test_jax.py", {"jax"}),
        ("test_names.py", {"keras"}),  # by a module of this package
        ("keras/test_options.py", {"keras"}),
        ("cli/conftest.py", {"pandas"}),  # by a module of the tests
    ],
)
def test_a_file_needs_what_it_imports_at_its_top(file: str, libraries: set[str]) -> None:
    needed = of_file(TESTS / file)
    assert libraries <= needed
    assert bool(lacking(config("numpy"), needed)) is bool(libraries)


def test_what_only_type_checkers_read_is_not_needed() -> None:
    assert "torch" not in of_file(TESTS / "cases.py")
    assert lacking(config("numpy"), of_file(SOURCE / "focal_loss" / "numpy.py")) == set()


def imports_torch() -> None:
    import torch  # noqa: F401


def test_a_function_needs_what_it_imports() -> None:
    assert of_function(imports_torch) == {"torch"}


@pytest.mark.needs("keras")
@pytest.mark.parametrize("name", ["focal_loss.catboost", "numpy"])
def test_a_test_needs_what_its_name_and_its_marks_say(name: str, request: pytest.FixtureRequest) -> None:
    assert of_item(request.node) == ({"keras", "catboost"} if "catboost" in name else {"keras"})


def test_nothing_is_left_out_without_the_option() -> None:
    assert lacking(config(None), {"torch"}) == set()
    assert lacking(config("torch,jax"), {"torch", "numpy"}) == set()
    assert lacking(config("jax"), {"torch", "numpy"}) == {"torch"}


def test_a_name_that_nothing_has_is_refused() -> None:
    pytest_configure(config(None))
    pytest_configure(config("numpy,hypothesis"))
    with pytest.raises(pytest.UsageError, match=r"--libraries names \['', 'a.b', 'numpi'\], which cannot"):
        pytest_configure(config("numpy,numpi,a.b,"))


def config(libraries: str | None) -> pytest.Config:
    return SimpleNamespace(getoption=lambda _: libraries)  # type: ignore[return-value]
