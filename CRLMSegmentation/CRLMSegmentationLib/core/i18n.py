"""Texts for people in their language: English, until an application sets a translator of its own."""

from __future__ import annotations

from collections.abc import Callable

translator: Callable[[str], str] = str
"""3D Slicer's module puts `slicer.i18n.translate` here."""


def tr(text: str) -> str:
    """Translate a literal; fill its places in afterwards with `format`."""
    return translator(text)
