"""The views of 3D Slicer while navigating: layout, slices that follow the tip, distance annotation, margin alarm."""

__all__ = [
    "corner_annotation",
    "distance_window",
    "layout",
    "lesion_focus",
    "margin_alarm",
    "navigation_texts",
    "view_controller",
    "volume_rendering",
]
