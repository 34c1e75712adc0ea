"""Settings of all tests."""

from __future__ import annotations

import sys

import pytest
from selection import (  # noqa: F401
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_ignore_collect,
)

# The type checkers read this file of a user's mistakes; it is not a module of doctests.
collect_ignore = ["typed_use.py"]


@pytest.fixture(autouse=True)
def seed() -> None:
    """Seed torch's generator, so that a test draws the same numbers whichever tests ran before. A process without torch
    does not load it.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
