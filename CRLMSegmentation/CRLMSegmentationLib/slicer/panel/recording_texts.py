"""Texts of the panel about the recording of a session, in the user's language: rich text, without Qt."""

from __future__ import annotations

import html

from ...core.i18n import tr as _
from ..rich_text import AMBER, GREEN, GREY, RED, dot
from ..workspace.session_recording import SessionRecording

GIGABYTE = 1e9


def recording_text(session: SessionRecording | None) -> str:
    """Say whether the session is recorded, how large the recording is, what is left out, and where the report is."""
    if session is None:
        return dot(*recording_state(session))
    return "<br>".join(line for line in (dot(*recording_state(session)), _report(session)) if line)


def recording_state(session: SessionRecording | None) -> tuple[str, str]:
    """Return colour and text of the state of the recording."""
    recording = session.recording if session is not None else None
    if session is None:
        return GREY, _("Not recorded")
    if recording is None:
        return AMBER if session.is_wanted else GREY, _("Not recorded: packages are missing; press Install")
    if recording.problem:
        return RED, recording.problem
    if not session.is_wanted:
        return GREY, _("Not recorded")
    if not recording.is_recording or recording.folder is None:
        return GREY, _("Begins with the first volume or link")
    text = _("{name}: {size}").format(name=recording.folder.name, size=size_text(recording.used_bytes))
    return (AMBER, f"{text}; {_(recording.notice)}") if recording.notice else (GREEN, text)


def _report(session: SessionRecording) -> str:
    page = session.report_page
    if page is None:
        return ""
    if session.is_reporting:
        return dot(AMBER, _("The report is being written"))
    if not page.is_file():
        return dot(RED, _("The report was not written; Copy log tells why"))
    return dot(GREEN, _("Report:")) + f' <a href="{html.escape(page.as_uri())}">{html.escape(page.name)}</a>'


def size_text(count: int) -> str:
    """Format a number of bytes in MB or GB."""
    return f"{count / GIGABYTE:.1f} GB" if count >= GIGABYTE else f"{count / 1e6:.1f} MB"
