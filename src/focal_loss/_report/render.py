"""One page that stands by itself, made of a report."""

from __future__ import annotations
