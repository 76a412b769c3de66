"""The 3D Slicer module without Qt: scene, workspace, views and panel."""

__all__ = [
    "dependencies",
    "panel",
    "rich_text",
    "scene",
    "self_test",
    "state",
    "views",
    "workspace",
]
