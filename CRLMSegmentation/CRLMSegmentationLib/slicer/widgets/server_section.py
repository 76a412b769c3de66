"""The setting *Compute on* in the section Model: this computer, or a segmentation server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import qt

from ...core.errors import ServerError
from ...core.i18n import tr as _
from ...segmentation.engine import worker_engine
from ...segmentation.engine.engine import Engine
from ...segmentation.models.package import ModelPackage
from ...segmentation.remote.address import ServerAddress, server_address
from ...segmentation.remote.remote_engine import RemoteEngine
from ...segmentation.remote.server_engine import ServerEngine
from ..workspace.application import slicers_python
from .module_widget import ModuleWidget

URL_KEY, TOKEN_KEY, CA_KEY = (f"CRLMSegmentation/server{name}" for name in ("Url", "TokenFile", "CaFile"))
ONLY_KEY = "CRLMSegmentation/serverOnly"
"""In the application's settings; no URL stands for this computer."""


def wanted_server() -> ServerAddress | None:
    """Return the server that was chosen; None for this computer.

    Raises:
        ServerError: its address or a file cannot be used any more.
    """
    url, token, ca = (str(qt.QSettings().value(key, "") or "") for key in (URL_KEY, TOKEN_KEY, CA_KEY))
    return server_address(url, Path(token) if token else None, Path(ca) if ca else None) if url else None


def make_chosen_engine(model: ModelPackage, precision: str) -> Engine:
    """Make the engine of a model: in a process of this computer, or on the server that was chosen.

    Raises:
        ServerError: the address of the server, or a file that belongs to it, cannot be used.
    """
    address, python = wanted_server(), slicers_python()
    make_local = partial(worker_engine.WorkerEngine, model, python=python, precision=precision)
    if address is None:
        return make_local()
    is_only = qt.QSettings().value(ONLY_KEY, "0") == "1"
    return RemoteEngine(ServerEngine(model, address, python=python), None if is_only else make_local())


class ServerSection:
    """Lets the user choose the computer that segments.

    Args:
        restart: makes the engine anew.
    """

    def __init__(self, module: ModuleWidget, restart: Callable[[], None]) -> None:
        self._module, self._restart = module, restart
        ui, settings = module.ui, qt.QSettings()
        ui.serverFallbackCheckBox.checked = settings.value(ONLY_KEY, "0") != "1"
        ui.serverEdit.connect("editingFinished()", self._choose_url)
        ui.serverTokenButton.clicked.connect(lambda *_args: self._choose_file(TOKEN_KEY, _("Token of this room")))
        ui.serverCaButton.clicked.connect(lambda *_args: self._choose_file(CA_KEY, _("Certificate of the CA")))
        ui.serverFallbackCheckBox.connect("toggled(bool)", self._choose_fallback)
        self._show()

    def _choose_url(self) -> None:
        url = str(self._module.ui.serverEdit.text).strip()
        if url != str(qt.QSettings().value(URL_KEY, "") or ""):
            self._apply(URL_KEY, url)

    def _choose_file(self, key: str, title: str) -> None:
        path = qt.QFileDialog.getOpenFileName(self._module.parent, title, "", _("All files (*)"))
        if path:
            self._apply(key, str(path))

    def _choose_fallback(self, is_wanted: bool) -> None:
        self._apply(ONLY_KEY, "0" if is_wanted else "1")

    def _apply(self, key: str, value: str) -> None:
        """Store a setting and use it; what cannot be used is told, and the one before stays."""
        settings = qt.QSettings()
        before = settings.value(key, "")
        settings.setValue(key, value)
        try:
            wanted_server()
        except ServerError as error:
            settings.setValue(key, before)
            self._module.messages.show_error(error)
        else:
            self._restart()
        self._show()

    def _show(self) -> None:
        ui, settings = self._module.ui, qt.QSettings()
        ui.serverEdit.text = str(settings.value(URL_KEY, "") or "")
        for button, key in ((ui.serverTokenButton, TOKEN_KEY), (ui.serverCaButton, CA_KEY)):
            button.setToolTip(str(settings.value(key, "") or _("no file was chosen")))
