"""The button that opens the window which the distance fills, to be moved to another screen."""

from __future__ import annotations

import slicer

from ...core.i18n import tr as _
from ..views.distance_window import DistanceWindow
from ..views.navigation_texts import distance_of
from ..workspace.workspace import Workspace
from .module_widget import ModuleWidget


class DistanceWindowButton:
    """Opens and closes the window, and shows the distance in it.

    Args:
        path: of the .ui file of the window.

    Attributes:
        window: None before it is opened.
    """

    def __init__(self, module: ModuleWidget, path: str) -> None:
        self._module, self._path = module, path
        self.window: DistanceWindow | None = None
        module.ui.windowButton.clicked.connect(self._press)

    @property
    def is_open(self) -> bool:
        """Whether the window is on a screen."""
        return self.window is not None and self.window.is_open

    def show(self, workspace: Workspace | None) -> None:
        """Show the newest distance, if the window is open."""
        if self.window is not None and self.window.is_open:
            self.window.show(distance_of(workspace))

    def refresh(self, workspace: Workspace | None) -> None:
        """Show the newest distance, and say what the button does now."""
        text = _("Close the distance window") if self.is_open else _("Distance in its own window")
        self._module.ui.windowButton.text = text
        self.show(workspace)

    def close(self) -> None:
        """Close the window."""
        window, self.window = self.window, None
        if window is not None:
            window.close()

    def _press(self, *_args: object) -> None:
        was_open = self.is_open
        self.close()
        if not was_open:
            window = slicer.util.loadUI(self._path)
            self.window = DistanceWindow(window, slicer.util.childWidgetVariables(window))
            window.show()
        self._module.refresh()
