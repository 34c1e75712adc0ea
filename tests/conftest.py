"""What holds for every test."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture(autouse=True)
def seed() -> None:
    """The same numbers in every run, whichever tests a process ran before: draws of torch's own generator follow from
    its state. A process that does not use torch does not load it for this.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
