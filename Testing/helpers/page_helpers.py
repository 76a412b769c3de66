"""The child processes that write the page of a report, without drawing, or in this process."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from CRLMSegmentationLib.reports import page_process

PNG = b"\x89PNG\r\n\x1a\n"


def without_figures(command: Sequence[str]) -> list[str]:
    """The command of such a process, with a dot for each picture of a lesion."""
    python, _m, module, *arguments = command
    code = f"import {module} as page; page.three_slices = page.lesion_in_space = lambda *_: {PNG!r}; page.main()"
    return [python, "-c", code, *arguments]


def write_pages_here(monkeypatch, saving) -> None:
    """Let `save` write its page at once; files and texts are real, and a dot stands for each figure.

    Args:
        saving: the module with `save`.
    """

    def write(command: Sequence[str], folder: Path) -> SimpleNamespace:
        assert command[1:3] == ["-m", page_process.__name__]
        monkeypatch.setattr(sys, "argv", list(command[2:]))
        page_process.main()
        return SimpleNamespace(exit_code=0, stderr_tail="", read_stderr=lambda: None, release=lambda: None)

    monkeypatch.setattr(page_process, "three_slices", lambda lesion: PNG)
    monkeypatch.setattr(page_process, "lesion_in_space", lambda lesion, surface: PNG)
    monkeypatch.setattr(saving, "ChildProcess", write)
