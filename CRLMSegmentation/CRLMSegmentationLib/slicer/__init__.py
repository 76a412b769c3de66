"""The 3D Slicer module: scene, workspace, views, panel, and the widgets, which alone import Qt."""

__all__ = [
    "dependencies",
    "panel",
    "rich_text",
    "sample_data",
    "scene",
    "self_test",
    "state",
    "views",
    "widgets",
    "workspace",
]
