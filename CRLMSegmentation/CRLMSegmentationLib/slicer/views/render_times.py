"""How long the views of 3D Slicer render, as their render windows say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import vtk

LOOK_S = 1.0
"""Between two searches for views that have come or gone."""


class RenderTimes:
    """Reports each render of each slice view and 3D view, whoever has asked for it.

    Args:
        layout_manager: of the application.
        on_render: is called with the name of the view and the seconds that it took.
        clock: seconds that never go back.
    """

    def __init__(
        self, layout_manager: Any, on_render: Callable[[str, float], None], clock: Callable[[], float]
    ) -> None:
        self._manager, self._on_render, self._clock = layout_manager, on_render, clock
        self._observed: dict[str, tuple[vtk.vtkRenderWindow, list[int]]] = {}
        self._began_s: dict[str, float] = {}
        self._looked_s = float("-inf")

    def update(self) -> None:
        """Observe views that have come, as with another layout, and leave those that have gone; call it each turn."""
        now_s = self._clock()
        if now_s - self._looked_s < LOOK_S:
            return
        self._looked_s = now_s
        windows = dict(self._windows())
        for name in [name for name, (window, _tags) in self._observed.items() if windows.get(name) is not window]:
            self._leave(name)
        for name, window in windows.items():
            if name not in self._observed:
                begin, end = vtk.vtkCommand.StartEvent, vtk.vtkCommand.EndEvent
                tags = [
                    window.AddObserver(begin, partial(self._on_begin, name)),
                    window.AddObserver(end, partial(self._on_end, name)),
                ]
                self._observed[name] = window, tags

    def end(self) -> None:
        """Leave all views."""
        for name in list(self._observed):
            self._leave(name)

    def _windows(self) -> Iterator[tuple[str, vtk.vtkRenderWindow]]:
        for name in self._manager.sliceViewNames():
            yield name, self._manager.sliceWidget(name).sliceView().renderWindow()
        for number in range(self._manager.threeDViewCount):
            view = self._manager.threeDWidget(number).threeDView()
            yield f"3D {number}", view.renderWindow()

    def _leave(self, name: str) -> None:
        window, tags = self._observed.pop(name)
        self._began_s.pop(name, None)
        for tag in tags:
            window.RemoveObserver(tag)

    def _on_begin(self, name: str, _window: vtk.vtkRenderWindow, _event: str) -> None:
        self._began_s[name] = self._clock()

    def _on_end(self, name: str, _window: vtk.vtkRenderWindow, _event: str) -> None:
        began_s = self._began_s.pop(name, None)
        if began_s is not None:
            self._on_render(name, self._clock() - began_s)
