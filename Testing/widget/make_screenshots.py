"""Makes Resources/Screenshots/panel-*.png: the module in the host, on a shipped case, with the real worker.

    python Testing/widget/make_screenshots.py

It takes half a minute. Look at what it has made.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from PIL import Image, ImageChops

from host import SlicerHost
from module_helpers import PATIENCE_S, ROOT, Panel, card, check_everything

SCREENSHOTS = ROOT / "Resources" / "Screenshots"
CASE = Path("SampleCases", "phantom-several")
"""Relative, because the panel shows it."""
SCALE, MARGIN = 2.0, 40


def main() -> None:
    os.chdir(ROOT / "Resources")
    with tempfile.TemporaryDirectory() as folder, SlicerHost() as host:
        host.use_dark_style()
        panel = Panel(host)
        (Path(folder) / "results").mkdir()
        host.widget("outputDirectoryButton").directory = str(Path(folder) / "results")
        segment_case(panel)
        take(panel, SCREENSHOTS / "panel-result.png")
        check_before_incision(panel)
        take(panel, SCREENSHOTS / "panel-preflight.png")


def segment_case(panel: Panel) -> None:
    """Play the case, and drop every seed of it."""
    from CRLMSegmentationLib.core.case import load_case

    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(CASE)
    panel.press("playButton")
    panel.wait(lambda: panel.room.volume.node, PATIENCE_S)
    panel.host.widget("toolSelector").setCurrentNode(panel.host.scene.GetFirstNodeByName("StylusToReference"))
    lesions = load_case(CASE).lesions
    for lesion in lesions:
        panel.place(lesion.seed_ras_mm)
    rows = panel.room.ledger.rows
    panel.wait(lambda: len(rows()) == len(lesions) and all(row.is_current for row in rows()), PATIENCE_S)
    panel.turns()


def take(panel: Panel, path: Path) -> None:
    """A picture without the empty space below the panel."""
    panel.host.screenshot(path, SCALE)
    picture = Image.open(path).convert("RGB")
    empty = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    bottom = ImageChops.difference(picture, empty).getbbox()[3]
    picture = picture.crop((0, 0, picture.width, min(picture.height, bottom + MARGIN)))
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


def check_before_incision(panel: Panel) -> None:
    """Only the strip and the card are of interest."""
    for name in ("sourceButton", "seedButton", "segmentButton", "resultButton"):
        panel.host.widget(name).collapsed = True
    check_everything(panel)
    panel.wait(lambda: all(level != "pending" for level, _found in card(panel).values()), PATIENCE_S)
    panel.turns()


if __name__ == "__main__":
    main()
