"""Translation of texts that users see; they stay English until an application sets a translator."""

from __future__ import annotations

from collections.abc import Callable

translator: Callable[[str], str] = str
"""3D Slicer's module puts `slicer.i18n.translate` here."""


def tr(text: str) -> str:
    """Translate a string literal; call `format` on the result to fill in its placeholders."""
    return translator(text)
