"""Models in folders and zip files: finding them, and unpacking one of them safely.

Recognised are model packages of this program (`model.json`), and results of nnU-Net v2 (`plans.json` beside
`fold_*/checkpoint_*.pth`), which `nnUNetv2_export_model_to_zip` writes for one or several configurations.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...core.errors import ModelError
from .package import DATASET, FOLD_PATTERN, MANIFEST, PLANS, ModelPackage

CHECKPOINT = re.compile(r"fold_(\d+|all)/checkpoint_(final|best)\.pth")
DEPTH = 4
"""Folders below the one that was named in which a model is looked for."""
MAX_ENTRIES = 100_000
MAX_JSON_BYTES = 32 << 20
MAX_BYTES = 16 << 30
MAX_RATIO = 200
"""Weights hardly shrink; a zip that grows more than this is a bomb."""
FREE_BYTES = 64 << 20


@dataclass(frozen=True)
class FoundModel:
    """A model in an archive.

    Attributes:
        path: of its folder inside the archive, "" for the top.
        is_package: it is a package of this program, not an export of nnU-Net.
    """

    path: str
    is_package: bool


@contextmanager
def opened_model(path: Path, wanted: str | None, scratch_parent: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of one model, unpacked while the block runs, and whether it is a package.

    Args:
        wanted: which model, where there are several: its folder in the archive, one part of that, or its
            configuration.
        scratch_parent: where to unpack.

    Raises:
        ModelError: no model, several of which none is named, or a zip that is damaged or means harm.
    """
    if path.is_dir():
        found = choose_model(found_models(_names_in(path)), wanted, path.name)
        yield path / found.path, found.is_package
        return
    if not path.is_file():
        raise ModelError(f"{path} does not exist; name a model folder or a zip file")
    if path.suffix.lower() == ".pth":
        raise ModelError(f"{path.name} is a checkpoint alone; name the folder above fold_*, with {PLANS} and {DATASET}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = _checked_entries(archive, path)
            found = choose_model(found_models(entries), wanted, path.name)
            with tempfile.TemporaryDirectory(dir=scratch_parent, prefix=".unfinished-") as scratch:
                _unpack(archive, entries, found, Path(scratch))
                yield Path(scratch), found.is_package
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ModelError(f"{path.name} is no zip file, damaged or cut off ({error}); copy it again") from error


def found_models(names: Iterable[str]) -> list[FoundModel]:
    """Find the models among files, which are named with / and relative to the archive."""
    known = set(names)
    folders = sorted({name.rpartition("/")[0] for name in known if PurePosixPath(name).name in (MANIFEST, PLANS)})
    found = []
    for folder in folders:
        inside = f"{folder}/" if folder else ""
        if inside + MANIFEST in known:
            found.append(FoundModel(folder, True))
        elif any(CHECKPOINT.fullmatch(name[len(inside) :]) for name in known if name.startswith(inside)):
            found.append(FoundModel(folder, False))
    return found


def choose_model(found: Sequence[FoundModel], wanted: str | None, where: str) -> FoundModel:
    """Choose the model that is meant.

    Raises:
        ModelError: none or several; lists them.
    """
    if not found:
        raise ModelError(
            f"no model in {where}: neither a {MANIFEST}, nor a {PLANS} beside fold_0/checkpoint_final.pth as nnU-Net "
            "v2 writes them"
        )
    fitting = [model for model in found if wanted is None or wanted in _names_of(model)]
    if len(fitting) != 1:
        listed = "; ".join(model.path or "." for model in found)
        problem = f"{len(fitting)} of them fit {wanted!r}" if wanted else "name one, or its configuration"
        raise ModelError(f"{where} holds {len(found)} model{'s' * (len(found) > 1)}, {problem}: {listed}")
    return fitting[0]


def zip_model_package(package: ModelPackage, path: Path) -> None:
    """Write a package into one zip file, to be imported elsewhere."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (MANIFEST, *package.files):
            archive.write(package.folder / name, f"{package.name}-{package.version}/{name}")


def _names_of(model: FoundModel) -> set[str]:
    parts = PurePosixPath(model.path).parts
    return {model.path, *parts, *(parts[-1].split("__")[-1:] if parts else ())}


def _names_in(folder: Path) -> list[str]:
    names = []
    for root, folders, files in os.walk(folder):
        inside = Path(root).relative_to(folder)
        if len(inside.parts) >= DEPTH:
            folders.clear()
        folders[:] = [name for name in folders if not name.startswith(".")]
        names += [(inside / name).as_posix() for name in files]
    return names


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip by name; refuse the zip if one name leads outside the folder."""
    entries: dict[str, zipfile.ZipInfo] = {}
    seen: set[str] = set()
    if len(archive.infolist()) > MAX_ENTRIES:
        raise ModelError(f"{path.name} holds {len(archive.infolist())} files, a model has a few; not unpacked")
    for entry in archive.infolist():
        name, mode = entry.orig_filename, entry.external_attr >> 16
        parts = name.rstrip("/").split("/")
        if {"", ".", ".."} & set(parts) or "\\" in name or "\0" in name or ":" in parts[0]:
            raise ModelError(f"{path.name} names a file {name!r} that leads elsewhere; not unpacked")
        if name.casefold() in seen:
            raise ModelError(f"{path.name} holds {name!r} twice; not unpacked")
        seen.add(name.casefold())
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ModelError(f"{path.name} holds {name!r}, a link or a device instead of a file; not unpacked")
        if entry.flag_bits & 1:
            raise ModelError(f"{path.name} is encrypted; unpack it yourself and name the folder")
        if not entry.is_dir():
            entries[name] = entry
    return entries


def _is_wanted(name: str) -> bool:
    """Whether a file belongs to a model; figures, logs and pickles stay in the zip."""
    path = PurePosixPath(name)
    return path.name in (MANIFEST, PLANS, DATASET) or bool(
        FOLD_PATTERN.fullmatch(path.name) or CHECKPOINT.fullmatch("/".join(path.parts[-2:]))
    )


def _unpack(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], found: FoundModel, target: Path) -> None:
    inside = f"{found.path}/" if found.path else ""
    wanted = {
        name[len(inside) :]: entry
        for name, entry in entries.items()
        if name.startswith(inside) and _is_wanted(name) and name[len(inside) :].count("/") <= 1
    }
    _check_sizes(archive, list(wanted.values()), target)
    for name, entry in wanted.items():
        (target / name).parent.mkdir(exist_ok=True)
        with archive.open(entry) as source, (target / name).open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)  # zipfile ends at the declared size


def _check_sizes(archive: zipfile.ZipFile, entries: Sequence[zipfile.ZipInfo], target: Path) -> None:
    where = Path(archive.filename or target).name
    size, packed = sum(e.file_size for e in entries), sum(e.compress_size for e in entries)
    large = [e.filename for e in entries if e.filename.endswith(".json") and e.file_size > MAX_JSON_BYTES]
    if large or size > MAX_BYTES or size > MAX_RATIO * packed + MAX_JSON_BYTES:
        raise ModelError(f"{where} would unpack to {size / 1e6:.0f} MB from {packed / 1e6:.0f} MB; no model does that")
    if size + FREE_BYTES > shutil.disk_usage(target).free:
        raise ModelError(f"{where} needs {size / 1e6:.0f} MB in {target.parent}, which has less; make room first")
