"""Where models and sample cases lie: beside the module when installed, at the top of the repository otherwise."""

from __future__ import annotations

from pathlib import Path

from .errors import CrlmError

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
"""The folder that Python must look in to find this library: the working directory of child processes."""


def resource_path(*parts: str) -> Path:
    """Path of a shipped resource, such as resource_path("Models", "crlm-crop").

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
