"""Install a model from a folder or a zip file: a package of this program, or an unmodified export of nnU-Net v2.

A package is checked and copied. Results of nnU-Net become a package by `pack.pack_model`, which needs torch; so
3D Slicer lets another process do it:

    python -m CRLMSegmentationLib.segmentation.models.importer FILE OPTIONS_AS_JSON
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...core.child_process import ChildProcess
from ...core.errors import CrlmError, ModelError, UnclearChannelsError, WorkerError
from ...core.hashing import sha256_of
from ...core.parent_process import ParentProcess
from ...core.resources import PACKAGE_ROOT
from .archive import opened_model
from .pack import About, pack_model
from .package import MANIFEST, ModelPackage, load_model_package, read_model_package
from .registry import RECORD, installed_models, models_folder

SCRATCH_PREFIX = ".unfinished-"
STALE_S = 86_400.0
"""What an import that was killed has left is deleted after a day."""
STOP_TIMEOUT_S, POLL_BUDGET_S = 5.0, 0.01
FAILED = "failed"


def import_model(
    path: Path,
    about: About = About(),  # noqa: B008  (frozen)
    wanted: str | None = None,
    folds: Sequence[str | int] | None = None,
    checkpoint: str = "final",
    may_install: Callable[[], bool] = lambda: True,
) -> ModelPackage:
    """Install a model.

    Args:
        path: folder, or zip file as `nnUNetv2_export_model_to_zip` or `archive.zip_model_package` writes it.
        about: of an export of nnU-Net, which has no such metadata; a package has its own.
        wanted: which, where the file holds several; see `archive.opened_model`.
        folds, checkpoint: of an export, see `pack_model`.
        may_install: asked when all is ready to be moved into place; False where the import was cancelled meanwhile.

    Raises:
        ModelError: see `opened_model` and `pack_model`; or a model of that name and version is installed already.
            Nothing has been installed then.
    """
    folder = models_folder(must_exist=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        with tempfile.TemporaryDirectory(dir=folder, prefix=_scratch_prefix(os.getpid())) as scratch:
            made = Path(scratch) / "model"
            with opened_model(Path(path), wanted, Path(scratch)) as (source, is_package):
                if not is_package:
                    package = pack_model(source, made, about, folds, checkpoint)
                elif about == About() and folds is None:
                    package = _copied(source, made)
                else:
                    raise ModelError(f"{Path(path).name} is a model package, which tells its name and crop itself")
            return _install(package, folder, Path(path).name, may_install)
    except OSError as error:
        raise ModelError(f"{Path(path).name} cannot be installed in {folder}: {error}; choose another place") from error


class ImportProcess:
    """`import_model` in a child process, for 3D Slicer. Call `poll` from a timer; `stop` ends it early."""

    def __init__(self, path: Path, python: str = sys.executable, **options: Any) -> None:
        """Start the process.

        Args:
            python: an interpreter; with torch and nnunetv2, where `path` is an export of nnU-Net.
            options: the other arguments of `import_model`.

        Raises:
            ModelError: there is no such interpreter.
        """
        options["about"] = asdict(options.get("about", About()))
        command = [python, "-m", __name__, str(Path(path).resolve()), json.dumps(options)]
        self._answer: dict[str, Any] | None = None
        self._exit_code: int | None = None
        try:
            self._child = ChildProcess(command, PACKAGE_ROOT)
        except WorkerError as error:
            raise ModelError(str(error)) from error

    def poll(self) -> ModelPackage | None:
        """Return None while it runs, then the installed model.

        Raises:
            ModelError: why it was not installed; an `UnclearChannelsError` where `about` has to name the channels.
        """
        if self._exit_code is None:
            self._receive()
        if self._exit_code is None:
            return None
        if self._answer is None:
            last = (self._child.stderr_tail.splitlines() or ["no message"])[-1]
            raise ModelError(f"the import has ended with code {self._exit_code}: {last}")
        if self._answer["type"] == FAILED:
            count = int(self._answer["unclear_channels"])
            raise UnclearChannelsError(self._answer["reason"], count) if count else ModelError(self._answer["reason"])
        return read_model_package(self._answer["folder"])

    def stop(self) -> None:
        """End the process and remove what it has begun."""
        if self._exit_code is None:
            self._child.stop(STOP_TIMEOUT_S)
            self._exit_code = self._child.exit_code
            for left in models_folder(must_exist=False).glob(f"{_scratch_prefix(self._child.pid)}*"):  # it was killed
                shutil.rmtree(left, ignore_errors=True)

    def _receive(self) -> None:
        """Read the pipes of the process; once it has ended and they are empty, keep its exit code."""
        exit_code = self._child.exit_code  # asked before reading: the answer of a process that has ended is in the pipe
        self._child.read_stderr()
        try:
            for frame in self._child.read(time.monotonic() + POLL_BUDGET_S):
                self._answer = frame.header
        except WorkerError as error:
            self.stop()
            raise ModelError(f"the import was ended, for it sent what is no answer: {error}") from error
        if exit_code is not None and self._child.drained:
            self._exit_code = exit_code
            self._child.release()


def _scratch_prefix(pid: int) -> str:
    """Return how the names of the scratch folders of a process begin."""
    return f"{SCRATCH_PREFIX}{pid}-"


def _copied(source: Path, made: Path) -> ModelPackage:
    made.mkdir()
    for name in (MANIFEST, *read_model_package(source).files):
        if not (source / name).is_file():
            raise ModelError(f"the model {source.name} lacks {name}; copy it again")
        shutil.copyfile(source / name, made / name)
    return load_model_package(made)


def _install(package: ModelPackage, folder: Path, origin: str, may_install: Callable[[], bool]) -> ModelPackage:
    _check_free(package)
    record = {
        "from": origin,
        "imported_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "manifest_sha256": sha256_of(package.folder / MANIFEST),
    }
    (package.folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    place = folder / f"{package.name}-{package.version}"
    if place.exists():
        raise ModelError(f"{place} is there already; delete it, or give the model another version")
    if not may_install():
        raise ModelError("the import was cancelled")
    os.rename(package.folder, place)
    return load_model_package(place)


def _check_free(package: ModelPackage) -> None:
    for other in installed_models():
        known = other.package
        if known and (known.name.casefold(), known.version) == (package.name.casefold(), package.version):
            alike = "the same" if known.sha256 == package.sha256 else "with other weights"
            raise ModelError(
                f"{other.key} is installed already, {alike}: {other.folder}; "
                + ("nothing to do" if alike == "the same" else "remove that one, or pack this with another version")
            )


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{SCRATCH_PREFIX}*"):
        if left.is_dir() and time.time() - left.stat().st_mtime > STALE_S:
            shutil.rmtree(left, ignore_errors=True)


def main() -> None:
    """Import the model that the arguments name, and send the parent {"type": "installed"} or {"type": "failed"}."""
    path, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    about = options.pop("about")
    about["channels"] = tuple(about["channels"]) if about["channels"] else None
    is_over, is_installing = threading.Event(), threading.Event()

    def end() -> None:
        is_over.set()
        signal.raise_signal(signal.SIGTERM)

    def may_install() -> bool:
        is_installing.set()
        return not is_over.is_set()

    # an exception, so that the scratch folders are removed; none once the model is being moved into place
    signal.signal(signal.SIGTERM, lambda *_: None if is_installing.is_set() else sys.exit(1))
    parent = ParentProcess()  # nnU-Net prints
    parent.watch(end)
    try:
        package = import_model(path, About(**about), may_install=may_install, **options)
    except CrlmError as error:
        unclear = error.count if isinstance(error, UnclearChannelsError) else 0
        parent.send({"type": FAILED, "reason": str(error), "unclear_channels": unclear})
    else:
        if is_over.is_set():  # cancelled while it was moved into place
            shutil.rmtree(package.folder, ignore_errors=True)
            sys.exit(1)
        parent.send({"type": "installed", "folder": str(package.folder)})


if __name__ == "__main__":
    main()
