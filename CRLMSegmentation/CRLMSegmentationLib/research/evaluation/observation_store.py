"""Results of a calibration's finished cases, one file for each, from which an interrupted calibration goes on."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core.errors import JsonError
from ...core.json_files import read_json_object
from ...core.output_files import make_folder
from ...recording.dataset import CheckedCase
from ...segmentation.calibration import Observation

if TYPE_CHECKING:
    from .consensus import Observed

logger = logging.getLogger(__name__)

VERSION = 1
"""To be raised when the same case gives other observations."""


class ObservationStore:
    """Observations of cases in a folder.

    Args:
        folder: made if it is not there.
        model_sha256: of the model that is observed; the files of others are passed over.

    Raises:
        CrlmError: the folder cannot be made.
    """

    def __init__(self, folder: Path, model_sha256: str) -> None:
        make_folder(folder)
        self._folder, self._model_sha256 = folder, model_sha256

    def get(self, checked: CheckedCase, seed: int) -> list[Observed] | None:
        """Return the observations of a case; None if it was not finished, or has changed."""
        from .consensus import SimulatedTips

        path = self._path(checked, seed)
        if not path.is_file():
            return None
        try:
            lesions = read_json_object(path, JsonError)["lesions"]
            return [
                (Observation(*_values(Observation, one)), SimulatedTips(*_values(SimulatedTips, one)))
                for one in lesions
            ]
        except (JsonError, KeyError, TypeError, ValueError) as error:
            logger.warning("%s is damaged and is made again: %s", path, error)
            return None

    def add(self, checked: CheckedCase, seed: int, observed: Sequence[Observed]) -> None:
        """Store the observations of a case."""
        lesions = [{**_plain(observation), **_plain(tips)} for observation, tips in observed]
        path = self._path(checked, seed)
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps({"case": checked.case_id, "lesions": lesions}), "utf-8")
        os.replace(unfinished, path)

    def _path(self, checked: CheckedCase, seed: int) -> Path:
        parts = [VERSION, self._model_sha256, checked.case_id, checked.sha256, seed]
        return self._folder / f"{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}.json"


def _plain(value: Any) -> dict[str, Any]:
    """Return the fields of a dataclass as JSON holds them; floats come back bit for bit."""
    named = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: item.tolist() if isinstance(item, np.ndarray) else item for name, item in named.items()}


def _values(kind: Any, entry: dict[str, Any]) -> list[Any]:
    """Return the fields of a dataclass, in their order, of what `_plain` has made."""
    values = [entry[field.name] for field in fields(kind)]
    return [np.array(value, dtype=float) if isinstance(value, list) else value for value in values]
