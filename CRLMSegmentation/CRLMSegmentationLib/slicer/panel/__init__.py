"""Texts and states of the widgets of the module's panel, and what the panel calls."""

__all__ = [
    "install",
    "model_texts",
    "panel",
    "panel_view",
    "recording_texts",
    "settings",
    "texts",
]
