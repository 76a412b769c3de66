"""Probes, displays, clutter and speckle of the phantom, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.research.phantom.clutter import add_clutter, draw_clutter
from CRLMSegmentationLib.research.phantom.display import DISPLAY_1, Curve, Display, Smoothing, draw_display
from CRLMSegmentationLib.research.phantom.probe import Geometry, Probe, draw_probe, scan_converter
from CRLMSegmentationLib.research.phantom.speckle import Statistics, envelope

LINEAR = Probe(geometry=Geometry.LINEAR, width_mm=50.0, depth_mm=60.0, lines=100, samples=150)
MICRO = Probe(geometry=Geometry.MICRO_CONVEX, radius_mm=14.0, half_angle_rad=0.8, depth_mm=70.0)


def probe_of(geometry):
    drawn = (draw_probe(np.random.default_rng([5, number])) for number in range(200))
    return next(probe for probe in drawn if probe.geometry is geometry)


@pytest.mark.parametrize("geometry", list(Geometry))
def test_pixels_of_the_image_show_the_beams_that_pass_them(geometry):
    """A pattern over the beams' positions comes back at the pixels' positions."""
    probe = probe_of(geometry)
    converter = scan_converter(probe, 0.8)
    x, _, z = probe.beam_points_mm().reshape(-1, 3).T
    np.testing.assert_allclose(converter.weights @ x, converter.points_mm[:, 0], atol=0.1)
    np.testing.assert_allclose(converter.weights @ z, converter.points_mm[:, 2], atol=0.1)
    assert len(converter.points_mm) * 0.8**2 == pytest.approx(probe.area_mm2, rel=0.05)


def test_linear_image_is_a_rectangle_and_convex_one_a_fan():
    for probe, is_rectangle in ((LINEAR, True), (MICRO, False), (Probe(), False)):
        points = scan_converter(probe, 0.5).points_mm
        width = [np.ptp(points[np.abs(points[:, 2] - depth) < 1, 0]) for depth in (5, 0.8 * probe.depth_mm)]
        assert (abs(width[1] - width[0]) < 1.5) == is_rectangle
        assert points[:, 2].max() == pytest.approx(probe.depth_mm, abs=1)
        assert np.abs(points[:, 0]).max() <= probe.half_width_mm + 1e-9


@pytest.mark.parametrize("probe", [LINEAR, MICRO, Probe()])
def test_contains_agrees_with_the_positions_of_the_beams(probe):
    x, _, z = probe.beam_points_mm()[5:-5, 5:-5].reshape(-1, 3).T
    assert probe.contains(x, z).all()
    assert not probe.contains(x + 2 * probe.half_width_mm + 1, z).any()
    assert not probe.contains(x, z + probe.depth_mm + 10).any()
    spacing = np.linalg.norm(np.diff(probe.beam_points_mm(), axis=0), axis=2).mean(0)
    np.testing.assert_allclose(probe.line_spacing_mm, spacing, rtol=0.01)


def test_curves_keep_the_order_of_levels_and_are_never_inverted():
    level_db = np.linspace(-30, 30, 601)
    for number in range(100):
        display = draw_display(np.random.default_rng([6, number]))
        grey = display.compress(level_db, 55.0)
        assert (np.diff(grey) >= 0).all()
        assert 0.2 < np.interp(0, level_db, grey) < 0.61
    straight = Display(curve=Curve.LOGARITHMIC).compress(level_db, 55.0)
    for curve, exponent in ((Curve.GAMMA, 1.6), (Curve.S_SHAPED, 4.0), (Curve.POWER, 0.5), (Curve.CLIPPED, 1.8)):
        bent = Display(curve=curve, exponent=exponent).compress(level_db, 55.0)
        assert np.abs(np.clip(bent, 0, 1) - np.clip(straight, 0, 1)).max() > 0.08


def test_filters_do_what_they_are_called():
    rng = np.random.default_rng(7)
    share = np.clip(0.5 + 0.12 * rng.normal(size=(20, 60, 80)), 0, 1)
    share[:, :, 40:] += 0.3
    plain = Display(black=1).show(share).astype(float)

    def spread(display, part=np.s_[:, 10:50, 10:30]):
        return display.show(share)[part].astype(float).std()

    for smoothing in (Smoothing.MEDIAN, Smoothing.BLUR, Smoothing.ADAPTIVE):
        assert spread(Display(black=1, smoothing=smoothing)) < 0.8 * plain[:, 10:50, 10:30].std()
    assert spread(Display(black=1, sharpening=1.0)) > 1.1 * plain[:, 10:50, 10:30].std()
    assert spread(Display(black=1, persistence=0.5)) < 0.8 * plain[:, 10:50, 10:30].std()
    assert len(np.unique(Display(black=1, levels=16).show(share))) <= 16
    assert Display(black=9).show(np.zeros((2, 5, 5))).min() == 9
    assert DISPLAY_1.show(np.zeros((2, 5, 5))).max() == 0


def test_few_scatterers_make_speckle_uneven_and_regular_ones_make_it_even():
    probe = Probe(lines=96, samples=150)
    even = np.zeros((60, probe.lines, probe.samples), np.float32)
    ratios = []
    for statistics in (Statistics(density=0.05), Statistics(), Statistics(coherent=0.6)):
        amplitude = envelope(even, 0.55, np.random.default_rng(3), probe, statistics)
        assert (amplitude**2).mean() == pytest.approx(1, rel=0.08)
        ratios.append(amplitude.mean() / amplitude.std())
    assert ratios[0] < 1.75 < 1.85 < ratios[1] < 2.0 < 2.3 < ratios[2]


def test_haze_and_bands_lie_near_the_face():
    for number in range(20):
        rng = np.random.default_rng([8, number])
        clutter = draw_clutter(rng, 30, 96)
        depths = np.linspace(0.5, 90, 220)
        signal = np.zeros((30, 96, 220))
        add_clutter(signal, clutter, rng, depths)
        assert (signal >= 0).all()
        assert signal[:, :, depths < 10].mean() > signal[:, :, depths > 70].mean()
        assert clutter.loss_db.max() <= 0


def test_side_lobes_fill_what_is_dark():
    rng = np.random.default_rng(9)
    clutter = draw_clutter(rng, 10, 96)
    signal = np.ones((10, 96, 200))
    signal[:, 40:50] = 0
    add_clutter(signal, clutter, rng, np.linspace(0.5, 90, 200))
    assert 0 < signal[:, 40:50, 150:].mean() < 0.5
