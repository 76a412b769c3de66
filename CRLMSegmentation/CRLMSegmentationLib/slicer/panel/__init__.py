"""Texts and states of the widgets of the module's panel, and what the panel calls."""

__all__ = [
    "install",
    "lesion_table",
    "lesion_texts",
    "model_texts",
    "next_step",
    "panel",
    "panel_view",
    "recording_texts",
    "sections",
    "settings",
    "status_strip",
    "texts",
]
