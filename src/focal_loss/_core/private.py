"""Names of frameworks that are not public: each may be gone in the next version, and then costs what needs it alone."""

from __future__ import annotations

import importlib
from typing import Any

# Framework -> what it lacks and what that costs, for `show_config`.
MISSING: dict[str, list[str]] = {}


def private(module: str, name: str, cost: str) -> Any:
    """What stands in a module under this name, which may have dots; None where it is gone, noted with its cost."""
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
