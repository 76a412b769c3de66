"""The child process that writes the page of a report, in this process and without drawing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

from CRLMSegmentationLib.reports import page_process

PNG = b"\x89PNG\r\n\x1a\n"


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
