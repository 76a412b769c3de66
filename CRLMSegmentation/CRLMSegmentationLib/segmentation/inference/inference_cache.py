"""Cache of what a model needs on this machine: its networks as OpenVINO reads them, and the runtime that was chosen.

It lies beside the imported models, or where $CRLM_INFERENCE_CACHE says, one folder for each key: hashes and versions
of all that its content was made of. So a changed model, program, torch or OpenVINO finds an empty cache, and nothing
is read that was made of anything else. A cache that is damaged or cannot be written to is passed over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.errors import CrlmError
from ...core.hashing import sha256_of
from ...core.json_files import read_json_object
from ...core.output_files import SCRATCH_PREFIX
from ..models.package import ModelPackage
from ..models.registry import models_folder

FOLDER_VARIABLE = "CRLM_INFERENCE_CACHE"
FOLDER = ".inference-cache"
HASHES = "hashes.json"
CHOICE_FILE = "choice.json"
"""Which runtime was chosen, and what was measured; written by `runtime_choice`."""
KEY = re.compile("[0-9a-f]{32}")
KEPT_FOLDERS = 12
"""Of the most recently used ones; a network of the shipped model takes 14 MB."""
MADE_BY = ("openvino", "torch", "nnunetv2", "dynamic-network-architectures")


def package_version(name: str) -> str:
    """Return the version of an installed package, found without importing it; empty where it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


class InferenceCache:
    """The cache of one model.

    Args:
        package: the model.
        root: folder of all caches; by default as above.
    """

    def __init__(self, package: ModelPackage, root: Path | None = None) -> None:
        made_of = [package.sha256, __version__, *(f"{name} {package_version(name)}" for name in MADE_BY)]
        key = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:32]
        self.folder = (root or _default_root()) / key

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return what `write_json` has stored under a name; None where there is nothing usable."""
        if not (self.folder / name).is_file():
            return None
        try:
            return read_json_object(self.folder / name, CrlmError, "")
        except CrlmError:
            return None

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Store an object. Where the folder cannot be written to, nothing happens."""
        try:
            self._write({name: json.dumps(content, indent=1, allow_nan=False).encode()})
        except OSError:
            return
        self._prune()

    def files(self, names: Sequence[str]) -> list[Path] | None:
        """Return the stored files of these names; None where one is missing, or is not what was stored."""
        hashes = self.read_json(HASHES)
        paths = [self.folder / name for name in names]
        try:
            if hashes is None or any(sha256_of(path) != hashes.get(path.name) for path in paths):
                return None
        except OSError:
            return None
        with contextlib.suppress(OSError):
            os.utime(self.folder)  # it is in use, so not the first to be removed
        return paths

    def store(self, folder: Path) -> bool:
        """Copy the files of a folder into the cache.

        Returns:
            Whether they are in it; False where it cannot be written to.
        """
        made = sorted(path for path in folder.iterdir() if path.is_file())
        try:
            self._write({path.name: path.read_bytes() for path in made})
        except OSError:
            return False
        self.write_json(HASHES, {path.name: sha256_of(path) for path in made})
        return True

    def _write(self, contents: Mapping[str, bytes]) -> None:
        """Write files under names of their own, then move them into place; another process may do the same.

        Raises:
            OSError: the cache cannot be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=SCRATCH_PREFIX) as scratch:
            for name, content in contents.items():
                (Path(scratch) / name).write_bytes(content)
                os.replace(Path(scratch) / name, self.folder / name)

    def _prune(self) -> None:
        """Remove the caches that were not used for longest, of models and versions long gone."""
        try:
            folders = [path for path in self.folder.parent.iterdir() if KEY.fullmatch(path.name) and path.is_dir()]
            folders.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        except OSError:
            return
        for folder in folders[KEPT_FOLDERS:]:
            shutil.rmtree(folder, ignore_errors=True)


def measured_choice(package: ModelPackage) -> dict[str, Any] | None:
    """Return what was measured of the runtime that is kept for a model on this machine; None before its first start.

    Returns:
        `runtime`, `device`, `precision`, `pass_s` and `difference`, see `runtime_choice.Measured`.
    """
    kept = InferenceCache(package).read_json(CHOICE_FILE) or {}
    choice, measured = kept.get("choice"), kept.get("measured")
    if not isinstance(choice, dict) or not isinstance(measured, list):
        return None
    of_choice = [entry for entry in measured if isinstance(entry, dict) and choice.items() <= entry.items()]
    return {key: value for key, value in of_choice[0].items() if key != "problem"} if of_choice else None


def _default_root() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else models_folder(must_exist=False) / FOLDER
