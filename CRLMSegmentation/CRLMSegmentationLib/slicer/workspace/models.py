"""The installed models, the chosen one, and the import of another from a file."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ...core.crop_format import CHANNEL_SETS
from ...core.errors import ModelError, UnclearChannelsError
from ...core.i18n import tr as _
from ...segmentation.engine.engine import Engine
from ...segmentation.models.importer import ImportProcess
from ...segmentation.models.listing import ModelChoice, model_choices
from ...segmentation.models.pack import About
from ...segmentation.models.package import ModelPackage
from ...segmentation.models.registry import find_model
from .crop_box import limited_mm
from .lesion_store import BUSY
from .workspace import Workspace

UNTOUCHED_MM = 80.0
"""Size of the crop in a new scene."""


class Models:
    """Lists, chooses and imports models, for one workspace after the other.

    While `is_importing`, call `poll_import` at each turn.

    Args:
        wanted: key of the model that was chosen earlier, empty for the default.
        remember: told the key of each model that is chosen.

    Attributes:
        wanted: key of the chosen model; empty for the default, also when the chosen one was gone.
        choices: what a combo box offers.
        notice: what the user has to be told once, mostly nothing; whoever tells it empties it.
        importing: what is being imported, or waits for an answer; None for nothing.
        asked_channels: what the channels of `importing` must be if it is to be used, which only the user knows; empty
            where nothing has to be asked.
    """

    def __init__(
        self,
        wanted: str = "",
        remember: Callable[[str], object] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.wanted, self.notice, self._remember, self._clock = wanted, "", remember, clock
        self.choices: list[ModelChoice] = []
        self.importing: Path | None = None
        self.asked_channels: tuple[str, ...] = ()
        self._process: ImportProcess | None = None
        self._began_s = 0.0
        self._damaged: dict[str, str] = {}
        self.refresh()

    @property
    def is_importing(self) -> bool:
        return self._process is not None

    def refresh(self) -> None:
        """List the installed models again; damaged ones may have been repaired."""
        self._damaged.clear()
        self._list()

    def package(self) -> ModelPackage:
        """Return the chosen model; the default where it cannot be used any more, and `notice` says so.

        Raises:
            ModelError: there is no default either.
        """
        if self.wanted:
            try:
                return find_model(self.wanted)
            except ModelError as error:
                gone, self.wanted = self.wanted, ""
                package = find_model()
                text = _("The model {gone} cannot be used: {reason}. {name} is used instead; see Model")
                self.notice = text.format(gone=gone, reason=error, name=key_of(package))
                return package
        return find_model()

    def use(self, key: str, workspace: Workspace | None, make_engine: Callable[[ModelPackage], Engine]) -> bool:
        """Use a model from now on; volume, seeds, segmentations and link of the workspace stay.

        Args:
            workspace: None where there is none yet.

        Returns:
            Whether the workspace has changed its model; what the user has to be told of it is in `notice`.

        Raises:
            ModelError: it cannot be used; all stays what it was.
        """
        model = self._loaded(key)
        self.wanted = key
        self._remember(key)
        if workspace is None or workspace.session.model == model:
            return False
        given_up = [row.name for row in workspace.lesion_store.rows() if row.state in BUSY]
        workspace.use_model(make_engine(model), model)
        if given_up:
            text = _("{lesions}: cancelled, because another model was chosen. Press Segment to use {model}")
            self.notice = text.format(lesions=", ".join(given_up), model=key)
        return True

    @property
    def import_s(self) -> float:
        """Seconds since the import began."""
        return self._clock() - self._began_s

    def begin_import(self, path: Path, python: str, channels: tuple[str, ...] = ()) -> None:
        """Import a model package or an export of nnU-Net, a zip file or a folder, in a process of its own.

        Args:
            channels: of an export of nnU-Net, as the user has said; empty where nobody has.

        Raises:
            ModelError: another import runs, or there is no such interpreter.
        """
        if self.importing is not None and self.is_importing:
            raise ModelError(_("{name} is still being imported; wait, or cancel that").format(name=self.importing.name))
        about = About(channels=channels) if channels else About()
        self._process = ImportProcess(path, python=python, about=about)
        self.importing, self.asked_channels, self._began_s = path, (), self._clock()

    def poll_import(self) -> str | None:
        """Return the key of a model that was imported, once; None otherwise.

        Raises:
            ModelError: why it was not, once.
        """
        if self._process is None:
            return None
        try:
            package = self._process.poll()
        except UnclearChannelsError as error:
            self._process = None
            self.asked_channels = next(names for names in CHANNEL_SETS if len(names) == error.count)
            return None
        except ModelError:
            self._process, self.importing = None, None
            raise
        if package is None:
            return None
        self._process, self.importing = None, None
        self.refresh()
        return key_of(package)

    def cancel_import(self) -> None:
        """Cancel the import, if there is one; nothing is installed then."""
        if self._process is not None:
            self._process.stop()
        self._process, self.importing, self.asked_channels = None, None, ()

    def _loaded(self, key: str) -> ModelPackage:
        try:
            return find_model(key)
        except ModelError as error:
            self._damaged[key] = str(error)
            self._list()
            raise

    def _list(self) -> None:
        try:
            self.choices = [self._judged(choice) for choice in model_choices()]
        except ModelError as error:
            self.choices = [ModelChoice(_("no models"), "", str(error), usable=False, is_default=False)]

    def _judged(self, choice: ModelChoice) -> ModelChoice:
        reason = self._damaged.get(choice.key)
        return choice if reason is None else replace(choice, tooltip=reason, usable=False)


def key_of(package: ModelPackage) -> str:
    """Return the key by which `find_model` finds an installed model."""
    return f"{package.name}@{package.version}"


def beginning_of(model: ModelPackage, recorded_key: str, size_mm: float) -> tuple[str, float]:
    """Return what a scene stores when a model comes into use: the model's key and the crop size, mm.

    Args:
        recorded_key: the model with which the scene was used before, empty for none.
        size_mm: as the scene says; kept where the user has chosen it for this model.
    """
    key = key_of(model)
    is_chosen = recorded_key == key or (not recorded_key and size_mm != UNTOUCHED_MM)
    return key, size_mm if is_chosen else limited_mm(model.crop_size_mm)
