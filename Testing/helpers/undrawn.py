"""Fixture: pictures are put together and not drawn, which takes the most time, where nobody looks at them."""

from __future__ import annotations

from io import BytesIO
from typing import IO

import pytest
from matplotlib.figure import Figure
from PIL import Image


def _png_of_one_pixel() -> bytes:
    stream = BytesIO()
    Image.new("RGB", (1, 1)).save(stream, "PNG")
    return stream.getvalue()


PNG = _png_of_one_pixel()


def _save(figure: Figure, stream: IO, *, format: str, **_more: object) -> None:
    stream.write("<svg/>" if format == "svg" else PNG)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    from CRLMSegmentationLib.reports import navigation_space, slices, space  # vtk, for those who ask for it only

    monkeypatch.setattr(Figure, "savefig", _save)
    monkeypatch.setattr(slices, "three_slices", lambda *_: PNG)
    for module in (space, navigation_space):
        monkeypatch.setattr(module, "check_rendering", lambda: None)
        monkeypatch.setattr(module, "png_of_window", lambda window: PNG)
