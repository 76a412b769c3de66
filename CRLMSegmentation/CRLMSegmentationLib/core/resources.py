"""Where models and sample cases lie: beside the module when installed, at the top of the repository otherwise."""

from __future__ import annotations

from pathlib import Path

from .errors import CrlmError

_PACKAGE = Path(__file__).resolve().parent.parent


def resource_path(*parts: str) -> Path:
    """Path of a shipped resource, such as resource_path("Models", "crlm-crop").

    Raises:
        CrlmError: it is not there.
    """
    for base in (_PACKAGE.parent / "Resources", _PACKAGE.parent.parent / "Resources"):
        path = base.joinpath(*parts)
        if path.exists():
            return path
    raise CrlmError(
        f"Resources/{'/'.join(parts)} is missing from this installation; install it again or clone the repository"
    )
