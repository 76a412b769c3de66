"""Paths of the shipped models and sample cases: beside the installed module, or at the top of the repository."""

from __future__ import annotations

from pathlib import Path

from .errors import CrlmError

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
"""The folder from which Python imports this library; it is the working directory of child processes."""


def resource_path(*parts: str) -> Path:
    """Return the path of a shipped resource, such as resource_path("Models", "crlm-crop").

    Raises:
        CrlmError: it is not there.
    """
    for base in (PACKAGE_ROOT / "Resources", PACKAGE_ROOT.parent / "Resources"):
        path = base.joinpath(*parts)
        if path.exists():
            return path
    raise CrlmError(
        f"Resources/{'/'.join(parts)} is missing from this installation; install it again or clone the repository"
    )
