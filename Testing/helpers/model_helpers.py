"""Tiny models to choose and to import: real packages and exports, whose weights only the worker could refuse."""

from __future__ import annotations

import sys
import time
from pathlib import Path


def shipped_model():
    """The package that comes with the program."""
    from CRLMSegmentationLib.segmentation.models.package import default_model_package

    return default_model_package()


def shipped_key() -> str:
    """The text by which the shipped model is found."""
    return f"{shipped_model().name}@{shipped_model().version}"


class CreatesFile:
    """A pickle of this runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def make_package(folder: Path, name: str = "tiny", version: str = "1", channels: tuple[str, ...] = (), **info):
    """A package of this name and version in a folder; another name gives other weights, so another hash."""
    import torch
    from CRLMSegmentationLib.segmentation.models.package import write_model_package

    from .inference_helpers import CHANNELS, dataset_json, tiny_info, tiny_plans

    channels = channels or CHANNELS
    weights = {0: {"weight": torch.full((2,), float(sum(map(ord, name + version)) % 1000))}}
    said = {**tiny_info(channels), "name": name, "version": version, **info}
    plans, dataset = tiny_plans(channels=channels), dataset_json(channels)
    return write_model_package(folder / f"{name}-{version}", plans, dataset, weights, said)


def damage(package) -> None:
    """Change the weights behind the manifest's back."""
    path = package.folder / "fold_0.safetensors"
    weights = path.read_bytes()
    path.write_bytes(weights[:-1] + bytes([weights[-1] ^ 1]))  # of the size that its header tells


def make_export(folder: Path, mark: Path | None = None, channels: tuple[str, ...] = ()) -> Path:
    """Results of nnU-Net with two channels, of which nobody says what they are; too small for a network.

    Args:
        channels: others than ultrasound and seed.
        mark: a file that the checkpoint would create if it were loaded without care.
    """
    import torch
    from CRLMSegmentationLib.segmentation.models.package import export_nnunet, write_model_package

    from .inference_helpers import CHANNELS, dataset_json, tiny_info, tiny_plans

    channels = channels or CHANNELS
    weights, plans, said = {0: {"weight": torch.ones(2)}}, tiny_plans(channels=channels), tiny_info(channels)
    package = write_model_package(folder / "package", plans, dataset_json(channels), weights, said, half=False)
    exported = export_nnunet(package, folder / "Dataset001_Tiny" / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    if mark is not None:
        path = exported / "fold_0" / "checkpoint_final.pth"
        torch.save({**torch.load(path, weights_only=False), "optimizer_state": CreatesFile(mark)}, path)
    return exported


class ImportHere:
    """In place of `ImportProcess`: the same import, in this process and without running the network."""

    def __init__(self, path: Path, python: str = sys.executable, **options: object) -> None:
        self._path, self._options, self._polls = path, options, 0

    def poll(self):
        from CRLMSegmentationLib.segmentation.models.importer import import_model

        self._polls += 1
        return import_model(self._path, **self._options) if self._polls > 1 else None

    def stop(self) -> None:
        """Nothing has begun."""


def import_here(monkeypatch) -> None:
    """Let the panel and its workspace import models in this process, whose torch is loaded."""
    from CRLMSegmentationLib.segmentation.models import pack
    from CRLMSegmentationLib.slicer.workspace import models

    monkeypatch.setattr(models, "ImportProcess", ImportHere)
    monkeypatch.setattr(pack, "_prove", lambda package: None)


def wait_for_import(models, timeout_s: float = 240.0) -> str | None:
    """Ask as a timer does, until there is an answer; returns the key of what was imported."""
    end_s = time.monotonic() + timeout_s
    while models.is_importing:
        assert time.monotonic() < end_s, "the import does not end"
        key = models.poll_import()
        if key is not None:
            return key
        time.sleep(0.02)
    return None
