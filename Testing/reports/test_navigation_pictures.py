"""Pictures of navigation and stability: what there is of it can be seen in them."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.reports import actors
from CRLMSegmentationLib.reports import space as rendering
from CRLMSegmentationLib.reports.navigation_figures import navigation_figures
from CRLMSegmentationLib.reports.navigation_slices import consensus_surface, cut_lines, margin_slices, stability_slices
from CRLMSegmentationLib.reports.navigation_space import approach_in_space, view_direction
from CRLMSegmentationLib.reports.navigation_text import write_distance
from CRLMSegmentationLib.reports.planes import DrawnLesion
from CRLMSegmentationLib.reports.space import RenderingError, check_rendering
from CRLMSegmentationLib.segmentation.consensus import Consensus
from CRLMSegmentationLib.tracking.closest_approach import Approach
from CRLMSegmentationLib.tracking.colours import (
    CLEAR_COLOUR,
    CONSENSUS_COLOURS,
    INNER,
    INNER_COLOUR,
    OUTER,
    OUTER_COLOUR,
    TOOL_COLOURS,
)
from CRLMSegmentationLib.tracking.instruments import Instrument, InstrumentKind
from CRLMSegmentationLib.tracking.interval import Interval
from CRLMSegmentationLib.tracking.margins import margin_surface
from CRLMSegmentationLib.tracking.readings import InstrumentState, ReliableReading
from CRLMSegmentationLib.tracking.surfaces import surface_of_mask
from PIL import Image

CENTER, RADIUS_MM = np.array([5.0, -12.0, 30.0]), 9.0


@pytest.fixture(scope="module")
def ball() -> DrawnLesion:
    """A ball of 9 mm in 64 x 64 x 40 voxels of 1 x 1 x 1.6 mm, dark in grey."""
    place = np.diag([1.0, 1.0, 1.6, 1.0])
    place[:3, 3] = CENTER - [32, 32, 32]
    k, j, i = np.indices((40, 64, 64))
    away = np.stack([i, j, 1.6 * k], axis=-1) - 32
    mask = np.linalg.norm(away, axis=-1) <= RADIUS_MM
    array = np.where(mask, 40, 130).astype(np.uint8)
    return DrawnLesion(Volume(array, place, "recvol_Reference", 1.5), mask, CENTER, 40.0)


@pytest.fixture(scope="module")
def surface(ball) -> vtk.vtkPolyData:
    return surface_of_mask(ball.mask, ball.volume.ijk_to_ras)


@pytest.fixture(scope="module")
def margins(surface) -> dict[float, vtk.vtkPolyData]:
    return {mm: margin_surface(surface, mm) for mm in (5.0, 10.0)}


def approach_of(
    distance_mm: float, margin_mm: float | None, handle=(0.0, 1.0, 0.0), kind=InstrumentKind.POINTER
) -> Approach:
    """An instrument straight in front of the ball, from the direction of its handle."""
    handle = np.array(handle) / np.linalg.norm(handle)
    side = np.linalg.qr(np.column_stack([-handle, np.eye(3)]))[0]
    side[:, 0] = -handle
    if np.linalg.det(side[:, [1, 2, 0]]) < 0:
        side[:, 1] *= -1
    matrix = np.eye(4)
    matrix[:3, :3] = side[:, [1, 2, 0]]
    matrix[:3, 3] = CENTER + (RADIUS_MM + distance_mm) * handle
    reading = ReliableReading(
        "T", "Tumour 1", Interval(distance_mm, distance_mm - 2, distance_mm + 2), CENTER + RADIUS_MM * handle, margin_mm
    )
    return Approach(InstrumentState(Instrument("Stylus", kind), matrix, matrix[:3, 3], None, (reading,)), reading)


@pytest.fixture
def small_picture(monkeypatch):
    monkeypatch.setattr(rendering, "SIZE_PIXELS", (320, 256))
    monkeypatch.setattr(actors, "WALL_PIXELS", 96)
    try:
        check_rendering()
    except RenderingError as error:
        pytest.skip(str(error))


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def count(png: bytes, colour: tuple[float, float, float], tolerance: int = 24) -> int:
    return int((np.abs(pixels_of(png) - 255 * np.array(colour)).max(axis=-1) <= tolerance).sum())


def count_hue(png: bytes, colour: tuple[float, float, float], least: int = 25) -> int:
    """Pixels that lean from grey towards a colour, however they are lit or shine through."""
    pixels = pixels_of(png)
    lean = np.array(colour) - np.mean(colour)
    grey = pixels - pixels.mean(axis=-1, keepdims=True)
    along = grey @ (lean / np.linalg.norm(lean))
    across = np.linalg.norm(grey - along[..., None] * (lean / np.linalg.norm(lean)), axis=-1)
    return int(((along > least) & (across < 0.5 * along)).sum())


@pytest.mark.usefixtures("small_picture")
def test_instrument_and_margins_can_be_seen_in_space(ball, surface, margins):
    far, blue = approach_of(20.0, None), TOOL_COLOURS[InstrumentKind.POINTER]
    alone, with_margins = approach_in_space(ball, surface, far), approach_in_space(ball, surface, far, margins)
    gone = replace(far, state=replace(far.state, matrix=far.state.matrix + _moved_by(1000.0)))
    assert pixels_of(alone).shape == (256, 320, 3)
    assert count_hue(alone, blue) > count_hue(approach_in_space(ball, surface, gone), blue) + 300
    changed = np.abs(pixels_of(with_margins) - pixels_of(alone)).max(axis=-1) > 12
    assert changed.sum() > 3000
    only_wide = approach_in_space(ball, surface, far, {10.0: margins[10.0]})
    assert count_hue(with_margins, INNER_COLOUR) > count_hue(only_wide, INNER_COLOUR) + 300
    assert count_hue(only_wide, OUTER_COLOUR) > count_hue(alone, OUTER_COLOUR) + 1000


def _moved_by(mm: float) -> np.ndarray:
    moved = np.zeros((4, 4))
    moved[1, 3] = mm
    return moved


@pytest.mark.usefixtures("small_picture")
def test_margin_lies_around_the_lesion_in_the_picture_and_the_instrument_outside(ball, surface, margins):
    """Seen from the front right, above: an instrument in front of the lesion comes in from the right."""
    png = approach_in_space(ball, surface, approach_of(20.0, None), margins)
    blue = pixels_of(png) @ [-1.0, 0.0, 1.0] > 60
    blue[:, :80] = False  # the axes
    _, columns = np.nonzero(blue)
    assert columns.min() > 160
    assert columns.max() > 300


@pytest.mark.usefixtures("small_picture")
@pytest.mark.parametrize(
    ("handle", "kind"),
    [
        ((0, 1, 0), InstrumentKind.POINTER),
        ((-1, -0.4, 0.3), InstrumentKind.PROBE),
        ((0.2, 0.2, -1), InstrumentKind.DISSECTOR),
        ((1, 1, 1), InstrumentKind.POINTER),
    ],
)
def test_no_wall_hides_the_instrument(ball, surface, kind, handle, monkeypatch):
    approach = approach_of(8.0, 10.0, handle, kind)
    gone = replace(approach, state=replace(approach.state, matrix=approach.state.matrix + _moved_by(1000.0)))

    def seen() -> int:
        shown, without = (pixels_of(approach_in_space(ball, surface, a)) for a in (approach, gone))
        return (np.abs(shown - without).max(axis=-1) > 25).sum()

    among_walls = seen()
    monkeypatch.setattr(rendering, "wall", lambda *_: vtk.vtkActor())
    assert among_walls > 0.9 * seen()


def test_instrument_is_seen_from_its_side_whatever_way_it_points():
    for handle in product((-1.0, 0.0, 1.0), repeat=3):
        if any(handle):
            direction = view_direction(approach_of(8.0, 10.0, handle))
            assert np.linalg.norm(direction) == pytest.approx(1.0)
            assert np.degrees(np.arccos(abs(direction @ np.array(handle)) / np.linalg.norm(handle))) > 45.0


@pytest.mark.parametrize(("margin_mm", "colour"), [(None, CLEAR_COLOUR), (10.0, OUTER_COLOUR), (5.0, INNER_COLOUR)])
def test_distance_is_written_in_the_colour_of_its_margin(margin_mm, colour):
    dark = io.BytesIO()
    Image.new("RGB", (500, 400), "#0b1016").save(dark, "PNG")
    written = {mm: write_distance(dark.getvalue(), approach_of(6.0, mm), ()) for mm in (None, 5.0)}
    assert count(written[None], CLEAR_COLOUR) > 300
    png = write_distance(dark.getvalue(), approach_of(6.0, margin_mm), (5.0, 10.0))
    top = Image.open(io.BytesIO(png)).crop((0, 0, 500, 44))
    stream = io.BytesIO()
    top.save(stream, "PNG")
    assert count(stream.getvalue(), colour) > 300


def test_simulated_is_said_in_the_picture():
    dark = io.BytesIO()
    Image.new("RGB", (500, 400), "#0b1016").save(dark, "PNG")
    plain, said = (pixels_of(write_distance(dark.getvalue(), approach_of(6.0, 5.0), (5.0,), s)) for s in (None, True))
    assert (np.abs(said - plain).max(axis=-1) > 60).sum() > 100


@pytest.mark.parametrize("axis", range(3))
def test_cut_of_a_ball_is_a_circle_of_its_radius(surface, margins, axis):
    for shown, radius_mm in ((surface, RADIUS_MM), (margins[5.0], RADIUS_MM + 5), (margins[10.0], RADIUS_MM + 10)):
        (circle,) = cut_lines(shown, axis, CENTER[axis])
        np.testing.assert_allclose(circle[:, axis], CENTER[axis], atol=1e-4)
        np.testing.assert_allclose(np.linalg.norm(circle - CENTER, axis=1), radius_mm, atol=0.8)
        assert np.linalg.norm(circle[0] - circle[-1]) < 1e-3
    assert cut_lines(surface, axis, CENTER[axis] + 12) == []


def test_slices_show_segmentation_margins_and_instrument_in_their_colours(ball, surface, margins):
    png = margin_slices(ball, surface, approach_of(7.0, 10.0), margins, dpi=60)
    without = margin_slices(ball, surface, approach_of(7.0, 10.0), {}, dpi=60)
    assert count(png, TOOL_COLOURS[InstrumentKind.POINTER]) > 30
    for colour in (INNER_COLOUR, OUTER_COLOUR):
        assert count(png, colour) > count(without, colour) + 100


def test_slices_show_both_shells_and_leave_out_an_empty_one(ball, surface):
    grown, shrunk = (_ball(ball, RADIUS_MM + mm) for mm in (2.0, -3.0))
    consensus = Consensus(shrunk, grown, (0, 0, 0), 8, 0.4, 5.0)
    png = stability_slices(ball, surface, consensus, dpi=60)
    assert count(png, CONSENSUS_COLOURS[INNER]) > 80
    assert count(png, CONSENSUS_COLOURS[OUTER]) > 100
    empty = stability_slices(ball, surface, replace(consensus, inner=shrunk & False), dpi=60)
    assert count(empty, CONSENSUS_COLOURS[INNER]) == 0
    assert count(empty, CONSENSUS_COLOURS[OUTER]) > 100


def _ball(lesion: DrawnLesion, radius_mm: float) -> np.ndarray:
    k, j, i = np.indices(lesion.mask.shape)
    return np.linalg.norm(np.stack([i, j, 1.6 * k], axis=-1) - 32, axis=-1) <= radius_mm


def test_shell_lies_where_its_part_of_the_volume_does(ball):
    part = ball.mask[5:36, 12:60, 14:60]
    moved = consensus_surface(part, Consensus(part, part, (5, 12, 14), 8, 1.0, 0.0), ball)
    np.testing.assert_allclose(np.array(moved.GetCenter()), CENTER, atol=0.3)


def test_pictures_are_those_of_what_there_is(ball, surface, monkeypatch):
    monkeypatch.setattr("CRLMSegmentationLib.reports.navigation_figures.approach_in_space", _refuse)
    consensus = Consensus(ball.mask, ball.mask, (0, 0, 0), 8, 1.0, 0.0)
    assert navigation_figures(ball, surface) == {}
    near = navigation_figures(ball, surface, approach_of(7.0, None), {5.0: vtk.vtkPolyData()})
    assert near["approach"] == "no OpenGL here"
    assert near["margins"].startswith(b"\x89PNG")
    assert set(navigation_figures(ball, surface, consensus=consensus)) == {"stability"}
    assert navigation_figures(ball, vtk.vtkPolyData(), approach_of(7.0, None), consensus=consensus) == {}


def _refuse(*_):
    raise RenderingError("no OpenGL here")
