"""Texts and states of the widgets for correction points, without Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.errors import CrlmError
from ...core.i18n import tr as _
from ...core.points import CorrectionPoint, PointKind, points_of_kind
from ...segmentation.models.package import takes_points
from ..scene.correction_points import NumberedPoints, point_label
from ..workspace.lesion import LesionRow
from ..workspace.workspace import Workspace

PLACING = ("includeButton", "excludeButton", "includeTipButton", "excludeTipButton")


@dataclass(frozen=True)
class PointsView:
    """What the widgets show, by their names.

    Attributes:
        points: text and number of each point of the selected lesion, for the combo box.
    """

    visible: dict[str, bool]
    enabled: dict[str, bool]
    tooltips: dict[str, str]
    points: list[tuple[str, int]]


def points_view(workspace: Workspace | None, rows: Sequence[LesionRow], lesion: str | None) -> PointsView:
    """Return what the buttons for points show now.

    Args:
        lesion: the selected one.
    """
    points = next((row.points for row in rows if row.lesion == lesion), {})
    takes = workspace is not None and takes_points(workspace.session.model)
    reason = _reason(workspace)
    return PointsView(
        visible={
            "includeTipButton": takes,
            "excludeTipButton": takes,
            "byHandButton": workspace is not None and not takes,
            "pointComboBox": bool(points),
            "removePointButton": bool(points),
        },
        enabled={
            **dict.fromkeys(PLACING, takes and bool(rows)),
            "undoPointButton": bool(points),
            "byHandButton": bool(rows),
        },
        tooltips={name: reason or tooltip for name, tooltip in _tooltips().items()},
        points=[(point_text(number, point), number) for number, point in points.items()],
    )


def point_text(number: int, point: CorrectionPoint) -> str:
    """Return a point with its label and place, as the list of points shows it."""
    place = " ".join(f"{x:.1f}" for x in point.ras_mm)
    return _("{label}  {kind}, R A S {place} mm").format(
        label=point_label(point.kind, number), kind=_kind_text(point.kind), place=place
    )


def points_text(points: NumberedPoints) -> str:
    """Return how many points correct a lesion, and which; empty for none."""
    if not points:
        return ""
    labels = ", ".join(point_label(point.kind, number) for number, point in points.items())
    included, excluded = (len(points_of_kind(list(points.values()), kind)) for kind in PointKind)
    text = _("points: {included} include, {excluded} exclude ({labels})")
    return text.format(included=included, excluded=excluded, labels=labels)


def _reason(workspace: Workspace | None) -> str:
    """Return why no points can be placed whatever is selected; empty where they can."""
    if workspace is None:
        return _("No model is loaded yet.")
    try:
        workspace.points.check_model()
    except CrlmError as error:
        return str(error)
    return ""


def _kind_text(kind: PointKind) -> str:
    return _("include") if kind is PointKind.INCLUDE else _("exclude")


def _tooltips() -> dict[str, str]:
    return {
        "includeButton": _("Then click what belongs to the chosen tumour too, in a view"),
        "excludeButton": _("Then click what does not belong to the chosen tumour, in a view"),
        "includeTipButton": _(
            "The tip of the tracked instrument is in the chosen tumour; F8 or a foot pedal does the same"
        ),
        "excludeTipButton": _("The tip is not in the chosen tumour; F7 or a foot pedal does the same"),
    }
