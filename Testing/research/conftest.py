"""Cohorts of tiny cases whose Dice is known by hand, and a stub model."""

from __future__ import annotations

import pytest
from helpers.evaluation_helpers import DarkEngine, StubModel, write_case
from helpers.training_in_process import in_this_process
from helpers.undrawn import undrawn

__all__ = ["in_this_process", "undrawn"]


@pytest.fixture
def model():
    return StubModel()


@pytest.fixture
def engines():
    """Every engine that was made, and a function that makes them."""
    made: list[DarkEngine] = []

    def make(model, **keywords):
        made.append(DarkEngine(**keywords))
        return made[-1]

    make.made = made
    return make


@pytest.fixture
def cases_folder(tmp_path):
    """Three patients: one found exactly, one half, one not at all."""
    folder = tmp_path / "cases"
    write_case(folder / "exact", dark=(16, 24), truth=(16, 24), about={"echogenicity": "hypoechoic"})
    write_case(folder / "half", dark=(16, 24), truth=(16, 20), about={"echogenicity": "isoechoic"})
    write_case(folder / "missed", dark=None, truth=(16, 24), about={"echogenicity": "isoechoic", "diameter_mm": 35.0})
    return folder
