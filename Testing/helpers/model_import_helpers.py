"""Results of nnU-Net to copy and to spoil, zip files of all kinds, and a pickle that leaves a mark when it is run."""

from __future__ import annotations

import json
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .nnunet_exports import MODEL


class CreatesFile:
    """A pickle of this runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def copied_results(exports: Path, dataset: str, target: Path, model: str = MODEL) -> Path:
    """nnU-Net's folder of one configuration, to change."""
    return Path(shutil.copytree(exports / "results" / dataset / model, target / dataset / model))


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def edit_configuration(results: Path, **changes: Any) -> None:
    """Change the full-resolution configuration of the plans."""
    plans = json.loads((results / "plans.json").read_text())
    plans["configurations"]["3d_fullres"].update(changes)
    (results / "plans.json").write_text(json.dumps(plans))


def edit_checkpoint(path: Path, **changes: Any) -> None:
    """Change a checkpoint; None takes a key away."""
    import torch

    content = {**torch.load(path, weights_only=False), **changes}
    torch.save({key: value for key, value in content.items() if value is not None}, path)


def rewritten_zip(
    source: Path, target: Path, extra: Mapping[str, bytes] | None = None, link: str | None = None
) -> Path:
    """A copy of a zip with more files, or with a symbolic link."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(entry, old.read(entry))
        for name, content in (extra or {}).items():
            new.writestr(_entry(name), content)
        if link is not None:
            entry = _entry(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            new.writestr(entry, "/etc/passwd")
    return target


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("placeholder")
    entry.filename = entry.orig_filename = name  # zipfile itself would tidy the name
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
