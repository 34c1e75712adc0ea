"""Private names of frameworks. Each may be gone in the next version, which costs only the feature that needs it."""

from __future__ import annotations

import importlib
from typing import Any

# Framework -> its missing names and what is lost with them, for `show_config`.
MISSING: dict[str, list[str]] = {}


def private(module: str, name: str, cost: str) -> Any:
    """The attribute of a module by name, which may have dots. None if it is gone, which is noted with what is lost."""
    try:
        found = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        notes = MISSING.setdefault(module.partition(".")[0], [])
        note = f"there is no `{module}.{name}`: {cost}"
        if note not in notes:
            notes.append(note)
        return None
    return found
