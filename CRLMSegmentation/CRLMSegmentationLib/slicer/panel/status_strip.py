"""The strip at the top of the panel: whether link, graphics card, model and recording are well, without Qt.

Each is a button that opens its section. What is not well is listed below the buttons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.i18n import tr as _
from ..rich_text import BACKGROUND, COLOURS, plain_line, rich_line
from ..state import State, StateText
from ..workspace.check import Check
from ..workspace.recording_control import RecordingControl
from ..workspace.volume_source import VolumeSource
from ..workspace.workspace import Workspace
from .recording_texts import recording_state
from .texts import status_texts

MAX_LINES = 3
"""Lines of problems; there is no space for more on one screen, and the buttons show the rest."""
_BY_URGENCY = (State.OK, State.OFF, State.WARNING, State.ERROR)


@dataclass(frozen=True)
class StatusStrip:
    """What the strip shows.

    Attributes:
        states: each state with its text, by the name of its button.
        label: rich text of what is not well, a line for each; empty while all is well.
    """

    states: dict[str, StateText]
    label: str

    def button_texts(self) -> dict[str, str]:
        """Return sign and word of each button."""
        words = {
            "linkStateButton": _("Link"),
            "deviceStateButton": _("Computer"),
            "modelStateButton": _("Model"),
            "recordingStateButton": _("Recording"),
        }
        return {name: plain_line(state, words[name]) for name, (state, _text) in self.states.items()}


class StripWidgets:
    """Sets the widgets of the strip, and only what has changed: a style sheet costs more than all else in the panel.

    Args:
        ui: the widgets of the panel, by their names.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._shown: StatusStrip | None = None

    def show(self, strip: StatusStrip) -> None:
        """Show a strip."""
        before, self._shown = self._shown, strip
        if strip == before:
            return
        for name, text in strip.button_texts().items():
            state, tip = strip.states[name]
            button = getattr(self._ui, name)
            button.setToolTip(tip)
            if before is None or before.states[name][0] is not state:
                button.setText(text)
                button.setStyleSheet(button_style(state))
        self._ui.stripLabel.setText(strip.label)
        self._ui.stripLabel.setVisible(bool(strip.label))


def button_style(state: State) -> str:
    """Return the style sheet of a button of the strip, in the colour of its state."""
    colour = COLOURS[state]
    return (
        f"QPushButton {{ background-color: {BACKGROUND}; color: {colour}; border: 1px solid {colour};"
        " border-radius: 6px; }"
    )


def status_strip(
    workspace: Workspace | None,
    source: VolumeSource | None,
    recording: RecordingControl | None,
    checks: Sequence[Check] = (),
) -> StatusStrip:
    """Return what the strip shows now."""
    texts = status_texts(workspace, source)
    states = {
        "linkStateButton": texts["linkLabel"],
        "deviceStateButton": texts["deviceLabel"],
        "modelStateButton": _most_urgent(texts["workerLabel"], texts["modelLabel"]),
        "recordingStateButton": recording_state(recording),
    }
    problems = [*texts.values(), states["recordingStateButton"], *_checks_text(checks)]
    lines = [rich_line(*told) for wanted in (State.ERROR, State.WARNING) for told in problems if told[0] is wanted]
    return StatusStrip(states, "<br>".join(lines[:MAX_LINES]))


def _most_urgent(*states: StateText) -> StateText:
    return max(states, key=lambda told: _BY_URGENCY.index(told[0]))


def _checks_text(checks: Sequence[Check]) -> list[StateText]:
    """Return a line for the checks before the incision that have failed."""
    failed = [check.name for check in checks if check.state is State.ERROR]
    if not failed:
        return []
    return [(State.ERROR, _("Checks before the incision: {names}").format(names=", ".join(failed)))]
