"""When views render, as ctkVTKAbstractView decides it, and what a render costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import vtk
from PySide6 import QtCore, QtWidgets

from .errors import HostError
from .stand_in import StandIn, plain, through


@dataclass(frozen=True)
class Render:
    """One render of a view: name of the view, when it began, and how long it took, s."""

    view: str
    began_s: float
    seconds: float


class Rendering:
    """What all views share: the clock, the cost of a render, and the list of renders.

    Renders cost nothing and the clock is the real one, until a test says otherwise. With `use_clock` time is the
    test's: a render moves it on, and nothing happens between two calls of `advance`.

    Attributes:
        cost_s: of a render: of any view, or by the view's name, seconds.
        renders: since the last `forget`, in their order.
    """

    def __init__(self) -> None:
        self.cost_s: float | Mapping[str, float] = 0.0
        self.renders: list[Render] = []
        self.views: list[AbstractView] = []
        self._real_s = time.monotonic
        self._now_s: float | None = None

    def use_clock(self, now_s: float = 100.0) -> Callable[[], float]:
        """Let time pass only by renders and by `advance`; returns the clock."""
        self._now_s = now_s
        return self.now_s

    def now_s(self) -> float:
        return self._real_s() if self._now_s is None else self._now_s

    @property
    def is_real(self) -> bool:
        """Whether Qt's timers and the machine's clock decide."""
        return self._now_s is None

    def advance(self, seconds: float) -> None:
        """Let time pass in Qt's event loop: views whose timer has run out render."""
        self._now_s += seconds
        for view in self.views:
            view.render_if_due()

    def play(self, seconds: float, on_turn: Callable[[], None], interval_s: float = 0.01) -> None:
        """Let a QTimer of an interval call a function for a time; views render between two calls, and within them."""
        end_s = self._now_s + seconds
        while self._now_s < end_s:
            self.advance(interval_s)
            on_turn()

    def forget(self) -> None:
        self.renders.clear()

    def draw(self, view: str) -> None:
        """Take the time that a render of a view costs."""
        began_s = self.now_s()
        cost_s = self.cost_s.get(view, 0.0) if isinstance(self.cost_s, Mapping) else self.cost_s
        if self._now_s is not None:
            self._now_s += cost_s
        elif cost_s:
            time.sleep(cost_s)
        self.renders.append(Render(view, began_s, self.now_s() - began_s))


class AbstractView(StandIn, QtWidgets.QWidget):
    """Stand-in for ctkVTKAbstractView: nothing is drawn, but it is decided when, and the render window says so.

    The rule: a request is served by a timer of 1/maximumUpdateRate; a later one that finds it older than that is
    served at once, inside the call that made it. A paused view keeps its request, and serves it after the last resume.
    """

    slicer_class = "ctkVTKAbstractView"
    p_renderEnabled = plain(True)
    p_maximumUpdateRate = plain(60.0)

    def __init__(self, name: str, rendering: Rendering, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self.name, self._rendering = name, rendering
        self.renders = self.pauses = 0
        self._corner = vtk.vtkCornerAnnotation()
        self._window = vtk.vtkGenericOpenGLRenderWindow()
        self._requested_s: float | None = None
        self._timer = QtCore.QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.render_if_due)
        rendering.views.append(self)

    p_cornerAnnotationText = through(
        lambda self: self._corner.GetText(vtk.vtkCornerAnnotation.UpperLeft) or "",
        lambda self, text: self.setCornerAnnotationText(text),
    )

    def cornerAnnotation(self) -> vtk.vtkCornerAnnotation:
        return self._corner

    def setCornerAnnotationText(self, text: str) -> None:
        self._corner.ClearAllTexts()
        self._corner.SetText(vtk.vtkCornerAnnotation.UpperLeft, text)

    def renderWindow(self) -> vtk.vtkRenderWindow:
        return self._window

    def scheduleRender(self) -> None:
        if not self.p_renderEnabled:
            return
        if self._requested_s is None:
            self._requested_s = self._rendering.now_s()
            if self._rendering.is_real:
                self._timer.start(int(1000 * self._wait_s))
        elif self._rendering.now_s() - self._requested_s > self._wait_s:
            self.requestRender()

    def requestRender(self) -> None:
        if not self.isRenderPaused():
            self.forceRender()

    def forceRender(self) -> None:
        """Also while paused."""
        self._timer.stop()
        self._requested_s = None
        if self.p_renderEnabled:
            self._window.InvokeEvent(vtk.vtkCommand.StartEvent)
            self._rendering.draw(self.name)
            self.renders += 1
            self._window.InvokeEvent(vtk.vtkCommand.EndEvent)

    def render_if_due(self) -> None:
        """What the timer does when it has run out."""
        if self._requested_s is not None and self._rendering.now_s() - self._requested_s >= self._wait_s - 1e-3:
            self.requestRender()

    def isRenderPaused(self) -> bool:
        return self.pauses > 0

    def pauseRender(self) -> int:
        self.pauses += 1
        return self.pauses

    def resumeRender(self) -> int:
        """The real one only warns, and stays at zero.

        Raises:
            HostError: the view was not paused.
        """
        if self.pauses == 0:
            raise HostError(f"view {self.name} was resumed and not paused before")
        self.pauses -= 1
        if self.pauses == 0 and self._requested_s is not None:
            self.scheduleRender()
        return self.pauses

    def setRenderPaused(self, is_paused: bool) -> int:
        return self.pauseRender() if is_paused else self.resumeRender()

    @property
    def _wait_s(self) -> float:
        return 1 / self.p_maximumUpdateRate if self.p_maximumUpdateRate > 0 else 0.0
