"""The colours of the panel, and the dot that has one of them."""

from __future__ import annotations

import html

GREEN, AMBER, RED, GREY = "#3fb950", "#e69f00", "#f85149", "#8b949e"


def dot(colour: str, text: str) -> str:
    """Rich text: a coloured dot, then the text."""
    return f'<span style="color:{colour}">●</span> {html.escape(text)}'
