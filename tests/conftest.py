"""What holds for every test."""

from __future__ import annotations

import sys

import pytest

# A user's file with mistakes in it, which the type checkers read.
collect_ignore = ["typed_use.py"]


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same numbers in every run, whichever tests a process ran before: draws of torch's own generator follow from
    its state. A process that does not use torch does not load it for this.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
