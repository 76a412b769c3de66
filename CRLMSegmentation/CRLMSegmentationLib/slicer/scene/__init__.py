"""What the surgeon sees, as MRML nodes of 3D Slicer; the scene always comes as an argument.

The same code runs inside 3D Slicer and, without Qt or a display, on PyPI's `slicer-core`.
"""
