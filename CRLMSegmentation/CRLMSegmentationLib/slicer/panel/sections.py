"""Which sections of the panel fold away by themselves, and which tab of the source is in front; without Qt."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.i18n import tr as _
from ..rich_text import SIGNS
from ..state import State
from ..workspace.check import Check
from ..workspace.volume_source import VolumeSource

LIVE_TAB, CASE_TAB, SCENE_TAB = range(3)


class Sections:
    """Says once what is to be folded away, so that what the user opens again stays open.

    No section opens by itself: the strip shows problems.
    """

    def __init__(self) -> None:
        self._had_volume = self._were_well = False
        self._tab: int | None = None

    def to_fold(self, has_volume: bool, link: State, checks: Sequence[Check]) -> list[str]:
        """Return the names of the sections that are to be folded now; call it at each turn.

        The source is folded when a volume has come over a link that is well, the checks when none fails any more.

        Args:
            link: how the link is.
        """
        is_well = has_volume and link is not State.ERROR
        are_well = has_volume and bool(checks) and all(c.state in (State.OK, State.WARNING) for c in checks)
        folded = []
        if is_well and not self._had_volume:
            folded.append("sourceButton")
        if are_well and not self._were_well:
            folded.append("preflightButton")
        self._had_volume, self._were_well = is_well, are_well
        return folded

    def tab_to_show(self, source: VolumeSource | None) -> int | None:
        """Return the tab of the source after another kind of source was chosen, from wherever; else None."""
        tab = _tab_of(source)
        before, self._tab = self._tab, tab
        return None if tab == before else tab


def checks_title(checks: Sequence[Check]) -> str:
    """Return the title of the section of the checks: how many have failed, or warn."""
    title = _("Checks before the incision")
    errors, warnings = (sum(check.state is state for check in checks) for state in (State.ERROR, State.WARNING))
    if any(check.state is State.PENDING for check in checks):
        return _("{title}: at work").format(title=title)
    if errors:
        return _("{title}: {sign} {count} failed").format(title=title, sign=SIGNS[State.ERROR], count=errors)
    if warnings:
        return _("{title}: {sign} warnings: {count}").format(title=title, sign=SIGNS[State.WARNING], count=warnings)
    return _("{title}: {sign} all well").format(title=title, sign=SIGNS[State.OK]) if checks else title


def _tab_of(source: VolumeSource | None) -> int | None:
    if source is None:
        return None
    if source.recorded_link is not None:
        return CASE_TAB
    if source.is_network or source.connector is not None:
        return LIVE_TAB
    return None
