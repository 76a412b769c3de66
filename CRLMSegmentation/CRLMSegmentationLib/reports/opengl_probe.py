"""Tests whether OpenGL works without a display; runs as its own process, since a driver may crash."""

from __future__ import annotations

import os
import sys

from vtkmodules import vtkRenderingOpenGL2
from vtkmodules.vtkCommonCore import vtkUnsignedCharArray
from vtkmodules.vtkRenderingCore import vtkRenderer, vtkRenderWindow

DRAWN = "drawn"


def offscreen_window() -> vtkRenderWindow:
    """Return a window that needs no display: EGL where there is none, else a hidden one."""
    egl = getattr(vtkRenderingOpenGL2, "vtkEGLRenderWindow", None)
    without_display = sys.platform.startswith("linux") and not os.environ.get("DISPLAY")
    window = egl() if egl is not None and without_display else vtkRenderWindow()
    window.SetOffScreenRendering(True)
    return window


def main() -> int:
    """Draw a few pixels and say so; 0 when they came out as they should."""
    window = offscreen_window()
    window.SetSize(8, 8)
    renderer = vtkRenderer()
    renderer.SetBackground(1, 1, 1)
    window.AddRenderer(renderer)
    window.Render()
    pixels = vtkUnsignedCharArray()
    window.GetRGBACharPixelData(0, 0, 7, 7, 0, pixels, 0)
    if pixels.GetNumberOfTuples() != 64 or pixels.GetTuple(0)[0] != 255:
        return 1
    print(DRAWN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
