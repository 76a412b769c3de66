"""Texts of the panel about the recording of a session, in the user's language: rich text, without Qt."""

from __future__ import annotations

import html

from ...core.i18n import tr as _
from ..rich_text import rich_line
from ..state import State, StateText
from ..workspace.recording_control import RecordingControl

GIGABYTE = 1e9


def recording_text(control: RecordingControl | None) -> str:
    """Say whether the session is recorded, how large the recording is, what is left out, and where the report is."""
    if control is None:
        return rich_line(*recording_state(control))
    return "<br>".join(line for line in (rich_line(*recording_state(control)), _report(control)) if line)


def recording_state(control: RecordingControl | None) -> StateText:
    """Return how the recording is, and the text about it."""
    recorder = control.recorder if control is not None else None
    if control is None:
        return State.OFF, _("Not recorded")
    if recorder is None:
        return State.WARNING if control.is_wanted else State.OFF, _("Not recorded: packages are missing; press Install")
    if recorder.problem:
        return State.ERROR, recorder.problem
    if not control.is_wanted:
        return State.OFF, _("Not recorded")
    if not recorder.is_recording or recorder.folder is None:
        return State.OFF, _("Begins with the first volume or link")
    text = _("{name}: {size}").format(name=recorder.folder.name, size=size_text(recorder.used_bytes))
    return (State.WARNING, f"{text}; {_(recorder.notice)}") if recorder.notice else (State.OK, text)


def _report(control: RecordingControl) -> str:
    page = control.report_page
    if page is None:
        return ""
    if control.is_reporting:
        return rich_line(State.WARNING, _("The report is being written"))
    if not page.is_file():
        return rich_line(State.ERROR, _("The report was not written; Copy log tells why"))
    return rich_line(State.OK, _("Report:")) + f' <a href="{html.escape(page.as_uri())}">{html.escape(page.name)}</a>'


def size_text(count: int) -> str:
    """Format a number of bytes in MB or GB."""
    return f"{count / GIGABYTE:.1f} GB" if count >= GIGABYTE else f"{count / 1e6:.1f} MB"
