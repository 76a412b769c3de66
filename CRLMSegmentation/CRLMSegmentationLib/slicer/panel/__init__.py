"""Texts and states of the widgets of the module's panel, without Qt."""

__all__ = [
    "install",
    "lesion_table",
    "lesion_texts",
    "model_texts",
    "next_step",
    "panel_view",
    "point_texts",
    "recording_texts",
    "sections",
    "settings",
    "status_strip",
    "texts",
]
