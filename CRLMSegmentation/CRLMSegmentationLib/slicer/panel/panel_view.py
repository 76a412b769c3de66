"""What the widgets of the panel show, by their names; without Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...core.i18n import tr as _
from ..rich_text import rich_line
from ..views.navigation_texts import distance_of, distance_text, instruments_text, words_text
from ..views.view_controller import ViewController
from ..workspace.lesion import LesionRow
from ..workspace.publisher import Publisher
from ..workspace.recording_control import RecordingControl
from ..workspace.volume_memory import memory_text
from ..workspace.volume_source import VolumeSource
from ..workspace.workspace import Workspace
from . import texts
from .next_step import next_step_text
from .recording_texts import recording_text


@dataclass(frozen=True)
class PanelView:
    """Texts and states of widgets, by their names.

    Attributes:
        texts, visible, enabled: what to set.
    """

    texts: dict[str, str]
    visible: dict[str, bool]
    enabled: dict[str, bool]


def panel_view(
    workspace: Workspace | None,
    source: VolumeSource | None,
    publisher: Publisher | None,
    recording: RecordingControl | None,
    views: ViewController | None,
    rows: Sequence[LesionRow],
) -> PanelView:
    """Return what the panel shows now, except for the distance, tables, the section Model and the progress bar."""
    is_connected = source is not None and source.is_network
    is_played = source is not None and source.recorded_link is not None and source.recorded_link.is_playing
    is_busy = workspace is not None and workspace.session.busy
    next_step = next_step_text(workspace, rows)
    return PanelView(
        texts={
            **{name: rich_line(*state) for name, state in texts.status_texts(workspace, source).items()},
            "nextStepLabel": next_step,
            "connectButton": _("Disconnect") if is_connected else _("Connect"),
            "liveButton": texts.live_text(source),
            "playButton": _("Pause the case") if is_played else _("Play the case"),
            "shareButton": texts.share_text(publisher),
            "applyButton": _("Cancel") if is_busy else _("Segment"),
            "layoutButton": _layout_text(views),
            "renderingButton": _rendering_text(views),
            "recordingLabel": recording_text(recording),
            "memoryLabel": memory_text(workspace.memory if workspace is not None else None),
        },
        visible={
            "nextStepLabel": bool(next_step),
            "lesionTable": bool(rows),
            "detailsButton": bool(rows),
        },
        enabled={
            "liveButton": is_connected,
            "sharePortSpinBox": publisher is None or publisher.port is None,
            **dict.fromkeys(("correctButton", "againButton", "removeButton", "saveButton"), bool(rows)),
            "undoButton": workspace is not None and workspace.lesion_store.can_undo,
            "redoButton": workspace is not None and workspace.lesion_store.can_redo,
            "progressBar": is_busy,
            "budgetSpinBox": recording is None or recording.recorder is None or not recording.recorder.is_recording,
        },
    )


def distance_view(workspace: Workspace | None, views: ViewController | None) -> PanelView:
    """Return the distance and the lines of the instruments; the panel shows them at each turn, so it is quick."""
    distance = distance_of(workspace)
    return PanelView(
        texts={
            "distanceLabel": distance_text(distance),
            "distanceWordsLabel": words_text(distance),
            "instrumentsLabel": instruments_text(workspace, views.unreliable_reasons if views is not None else None),
        },
        visible={"distanceFrame": workspace is not None and bool(workspace.navigation.situation.instruments)},
        enabled={},
    )


def margins_of(*widths_mm: float) -> tuple[float, ...]:
    """Return the margin widths that are set in the panel, ascending, mm; 0 stands for none."""
    return tuple(sorted({width for width in widths_mm if width > 0}))


def _layout_text(views: ViewController | None) -> str:
    is_used = views is not None and views.layout.is_used
    return _("Views as before") if is_used else _("Large 3D view")


def _rendering_text(views: ViewController | None) -> str:
    is_on = views is not None and views.rendering.is_wanted
    return _("Hide the volume in 3D") if is_on else _("Show the volume in 3D")
