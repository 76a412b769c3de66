"""The engine of these tests is a real worker, kept warm."""

from __future__ import annotations

from helpers.warm_engine import engine  # noqa: F401  (a fixture)
