"""The Qt widgets of the module's panel: what they do when pressed, and what they show.

The only room that imports Qt, and only the module's file imports it. What the widgets show comes from `panel`.
"""

__all__ = [
    "actions",
    "appearance",
    "checks_section",
    "display",
    "distance_window_button",
    "library",
    "messages",
    "model_section",
    "module_widget",
    "parameter_binding",
    "shortcuts",
    "sounds",
]
