"""The distance in the corner of a 3D view, so that nobody has to look away from it."""

from __future__ import annotations

import textwrap
from typing import Any

import vtk

from ...core.i18n import tr as _
from .navigation_texts import Distance

CORNER = vtk.vtkCornerAnnotation.UpperLeft
LINE_HEIGHT, LINEAR_FONT_SCALE, NONLINEAR_FONT_SCALE, LARGEST_FONT = 0.1, 1.0, 1.0, 48
"""What VTK makes the size of the letters of: a line may take that share of the view's height. With both scales at 1
the letters are as large as the view has room for; with others VTK enlarges them afterwards, beyond its edge."""
TextLook = tuple[float, float, float, int, tuple[float, float, float]]
"""Line height, linear and non-linear font scale, largest font, colour."""
WIDTH = 28
"""Letters in a line; a reason is longer."""


class CornerAnnotation:
    """Writes into one 3D view (qMRMLThreeDView); what it has changed there is put back by `clear`."""

    def __init__(self, view: Any) -> None:
        self._view = view
        self._shown: tuple[object, ...] | None = None
        self._before: TextLook | None = None

    def show(self, distance: Distance, lags: bool = False) -> None:
        """Write the distance in the colour of its margin, and below it between what it is measured.

        Args:
            lags: the view is drawn so seldom that the number in it may be old; the panel shows the present one.
        """
        shown = distance.text, distance.words, distance.colour, distance.short_warning, lags
        if shown == self._shown:
            return
        annotation = self._view.cornerAnnotation()
        if self._before is None:
            self._before = _look_of(annotation)
            _set_look(annotation, (LINE_HEIGHT, LINEAR_FONT_SCALE, NONLINEAR_FONT_SCALE, LARGEST_FONT, (1.0, 1.0, 1.0)))
        annotation.GetTextProperty().SetColor(*distance.colour)
        texts = distance.words, distance.short_warning, _("pictures lag") if lags else ""
        words = [line for text in texts for line in textwrap.wrap(text, WIDTH)]
        annotation.SetText(CORNER, "\n".join([distance.text, *words]))
        self._shown = shown
        self._view.scheduleRender()

    def clear(self) -> None:
        """Restore the annotation that the view had before."""
        if self._before is None:
            return
        annotation = self._view.cornerAnnotation()
        annotation.SetText(CORNER, "")
        _set_look(annotation, self._before)
        self._shown = self._before = None
        self._view.scheduleRender()


def _look_of(annotation: vtk.vtkCornerAnnotation) -> TextLook:
    return (
        annotation.GetMaximumLineHeight(),
        annotation.GetLinearFontScaleFactor(),
        annotation.GetNonlinearFontScaleFactor(),
        annotation.GetMaximumFontSize(),
        annotation.GetTextProperty().GetColor(),
    )


def _set_look(annotation: vtk.vtkCornerAnnotation, look: TextLook) -> None:
    height, linear, nonlinear, largest, colour = look
    annotation.SetMaximumLineHeight(height)
    annotation.SetLinearFontScaleFactor(linear)
    annotation.SetNonlinearFontScaleFactor(nonlinear)
    annotation.SetMaximumFontSize(largest)
    annotation.GetTextProperty().SetColor(*colour)
