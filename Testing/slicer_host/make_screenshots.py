"""Makes Resources/Screenshots/panel-*.png: the module in the host, on a shipped case, with the real worker.

    cd Testing && python -m slicer_host.make_screenshots [FOLDER]

It takes some minutes. Look at what it has made.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from helpers.module_helpers import BY_THEMSELVES, PATIENCE_S, ROOT, Panel, card, check_everything
from helpers.scripted_tracker import ScriptedTracker, use_tracker
from PIL import Image, ImageChops

from slicer_host import SlicerHost

SCREENSHOTS = Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT / "Resources" / "Screenshots"
CASE = Path("SampleCases", "phantom-several")
"""Relative, because the panel shows it."""
SCALE, MARGIN, WIDTH = 2.0, 40, 600
AWAY_MM = 7.0
"""Of the stylus from a lesion, between the margins."""


def main() -> None:
    os.chdir(ROOT / "Resources")
    with tempfile.TemporaryDirectory() as folder, SlicerHost() as host:
        host.use_dark_style()
        panel = Panel(host)
        (Path(folder) / "results").mkdir()
        host.widget("outputDirectoryButton").directory = str(Path(folder) / "results")
        host.widget("recordCheckBox").checked = True
        panel.redraw()
        take(panel, SCREENSHOTS / "panel-start.png")
        segment_case(panel)
        host.widget("lesionTable").setCurrentCell(0, 0)
        panel.redraw()
        host.widget("detailsButton").collapsed = False
        take(panel, SCREENSHOTS / "panel-result.png")
        host.widget("detailsButton").collapsed = True
        navigate(panel)
        take(panel, SCREENSHOTS / "panel-navigation.png")
        take_distance_window(panel, SCREENSHOTS / "distance-window.png")
        check_before_incision(panel)
        take(panel, SCREENSHOTS / "panel-preflight.png")


def segment_case(panel: Panel) -> None:
    """Play the case, and drop every seed of it."""
    from CRLMSegmentationLib.recording.case import load_case

    panel.host.widget("sourceTabs").currentIndex = 1
    panel.host.widget("casePathLineEdit").currentPath = str(CASE)
    panel.press("playButton")
    panel.wait(lambda: panel.workspace.volume.node, PATIENCE_S)
    panel.host.widget("toolSelector").setCurrentNode(panel.host.scene.GetFirstNodeByName("StylusToReference"))
    lesions = load_case(CASE).lesions
    for lesion in lesions:
        panel.place(lesion.seed_ras_mm)
    rows = panel.workspace.lesion_store.rows
    panel.wait(lambda: len(rows()) == len(lesions) and all(row.is_current for row in rows()), PATIENCE_S)
    panel.redraw()


def navigate(panel: Panel) -> None:
    """A stylus between the margins of a lesion, a dissector that is lost; the lesions have been refined."""
    for name in BY_THEMSELVES:
        panel.host.widget(name).checked = True
    panel.turns(2)
    panel.workspace.segment()
    looks = panel.workspace.background_refinement
    panel.wait(lambda: looks.is_at_work, PATIENCE_S)
    panel.wait(lambda: not looks.is_at_work and not panel.workspace.session.busy, 10 * PATIENCE_S)
    tracker = ScriptedTracker()
    use_tracker(panel.workspace, tracker)
    tip = panel.seed(0).GetNthControlPointPositionWorld(0) + np.array([0.0, 25.0, 0.0])
    for _ in range(5):
        tracker.poses = {"StylusToReference": tuple(tip), "DissectorToReference": "MISSING"}
        panel.turns(30)
        nearest = panel.workspace.navigation.situation.nearest
        away = tip - nearest[1].point_ras_mm
        tip = tip + (AWAY_MM - nearest[1].interval.distance_mm) * away / np.linalg.norm(away)
    panel.turns(200)


def take(panel: Panel, path: Path) -> None:
    """A picture without the empty space below the panel."""
    panel.host.screenshot(path, SCALE, WIDTH)
    picture = Image.open(path).convert("RGB")
    empty = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    bottom = ImageChops.difference(picture, empty).getbbox()[3]
    picture = picture.crop((0, 0, picture.width, min(picture.height, bottom + MARGIN)))
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)


def take_distance_window(panel: Panel, path: Path) -> None:
    """The window for the screen on the wall."""
    panel.press("windowButton")
    panel.redraw()
    window = panel.widget.distanceWindow.window._window._real
    window.resize(960, 540)
    panel.redraw()
    window.grab().save(str(path))
    panel.press("windowButton")
    panel.host.widget("navigationButton").collapsed = True
    panel.redraw()


def check_before_incision(panel: Panel) -> None:
    """Only the strip and the card are of interest."""
    panel.workspace.use_link(None)
    check_everything(panel)
    panel.wait(lambda: all(level != "pending" for level, _found in card(panel).values()), PATIENCE_S)
    panel.redraw()
    panel.host.widget("preflightButton").collapsed = False  # they are well, and have folded away
    panel.redraw()


if __name__ == "__main__":
    main()
