"""Phantom version 2: what varies, alone and together, and what stays as it was."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.research.phantom.cases import write_cohort, write_phantom_case
from CRLMSegmentationLib.research.phantom.display import Curve, Smoothing
from CRLMSegmentationLib.research.phantom.gaps import MAX_FRAME_SPACING_MM
from CRLMSegmentationLib.research.phantom.probe import Geometry
from CRLMSegmentationLib.research.phantom.simulation import simulate
from CRLMSegmentationLib.research.phantom.variation import (
    ALL_FACTORS,
    SPACING_LIMITS_MM,
    Factor,
    draw_settings,
    factors_of,
    stream_of,
)
from helpers.cli_helpers import run
from helpers.paths import ROOT
from scipy import ndimage

SAMPLES = ROOT / "Resources" / "SampleCases"
PATIENTS = 60
IMAGE_FACTORS = (Factor.CLUTTER, Factor.DISPLAY, Factor.SPECKLE, Factor.TISSUE)
"""Change grey values, and neither where frames lie nor what is a lesion."""


@pytest.fixture(scope="module")
def settings():
    """Settings of some patients in which all varies."""
    return [draw_settings((2, 77, number, 0), ALL_FACTORS) for number in range(PATIENTS)]


@pytest.fixture(scope="module")
def unvaried():
    return simulate(3, 0, 2, [])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return write_cohort(tmp_path_factory.mktemp("cohort"), 77, range(6), 2)


def drawn(factors, number=0):
    """What was drawn for each factor, as comparable values; the gains of the display with it."""
    settings = draw_settings((2, 77, number, 0), factors)
    imaging, sweep, clutter = settings.imaging, settings.sweep, settings.imaging.clutter
    scanner = imaging.scanner
    return {
        Factor.PROBE: imaging.probe,
        Factor.MOTION: (sweep.kind, sweep.true_poses[0].tolist(), settings.local_to_reference.tolist()),
        Factor.SPACING: settings.spacing_mm,
        Factor.GAPS: settings.gaps,
        Factor.CLUTTER: (scanner.noise_db, clutter and (clutter.haze_db, clutter.bands_mm, clutter.side_lobes_db)),
        Factor.DISPLAY: (imaging.display, scanner.gain_db, scanner.range_db, scanner.bumps_db.tolist()),
        Factor.SPECKLE: imaging.statistics,
        Factor.TISSUE: settings.tissue,
    }


def test_version_1_still_gives_the_patient_that_is_shipped(tmp_path):
    """On another processor a grey value may be rounded to its neighbour."""
    shipped = load_case(SAMPLES / "phantom-isoechoic")
    again = write_phantom_case(tmp_path, shipped.source["seed"], shipped.source["number"], version=1)
    assert (tmp_path / "truth.nrrd").read_bytes() == (shipped.folder / "truth.nrrd").read_bytes()
    assert (tmp_path / "tracking.jsonl").read_bytes() == (shipped.folder / "tracking.jsonl").read_bytes()
    assert (again.lesions, again.source) == (shipped.lesions, shipped.source)
    ours, theirs = again.volume(), shipped.volume()
    difference = np.abs(ours.array.astype(int) - theirs.array)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-4
    np.testing.assert_array_equal(ours.insonified, theirs.insonified)


def test_same_seed_gives_the_same_files(tmp_path):
    for folder in ("a", "b"):
        write_phantom_case(tmp_path / folder, 77, 4)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert "volume.nrrd" in names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("factor", [factor for factor in Factor if factor is not Factor.LESIONS])
def test_a_factor_alone_is_drawn_as_among_all_others_and_changes_only_itself(factor):
    """Which voxels and which frame rate can be had depends on the size of the image; all else is independent."""
    nothing, alone, together = drawn([]), drawn([factor]), drawn(ALL_FACTORS)
    changed = {name for name, value in alone.items() if value != nothing[name]}
    assert changed in ({factor}, {factor, Factor.SPACING})
    assert Factor.SPACING not in changed or factor in (Factor.PROBE, Factor.MOTION, Factor.GAPS, Factor.SPACING)
    if factor not in (Factor.SPACING, Factor.CLUTTER):
        assert alone[factor] == together[factor]


def test_noise_of_the_scanner_depends_on_the_depth_of_the_probe_only():
    """Noise is drawn at the end of the beams; the rest of the clutter does not depend on the probe."""
    assert drawn([Factor.CLUTTER])[Factor.CLUTTER][1] == drawn(ALL_FACTORS)[Factor.CLUTTER][1]


@pytest.mark.parametrize("factor", IMAGE_FACTORS)
def test_factors_of_the_image_change_grey_values_only(factor, unvaried):
    varied = simulate(3, 0, 2, [factor])
    np.testing.assert_array_equal(varied.truth.array, unvaried.truth.array)
    np.testing.assert_array_equal(varied.volume.insonified, unvaried.volume.insonified)
    inside = varied.volume.insonified
    assert (varied.volume.array[inside] != unvaried.volume.array[inside]).mean() > 0.5


def test_lesions_alone_change_lesions_only(unvaried):
    """Elsewhere the gain follows the mean attenuation, of which lesions are a part."""
    varied = simulate(3, 0, 2, [Factor.LESIONS])
    np.testing.assert_array_equal(varied.volume.insonified, unvaried.volume.insonified)
    assert varied.truth.array.any()
    assert (varied.truth.array != unvaried.truth.array).any()
    elsewhere = varied.volume.insonified & ~ndimage.binary_dilation(varied.truth.array > 0, iterations=12)
    assert np.corrcoef(varied.volume.array[elsewhere], unvaried.volume.array[elsewhere])[0, 1] > 0.7


def test_lost_frames_leave_gaps_in_the_field_of_view(unvaried):
    numbers = [n for n in range(30) if draw_settings((2, 3, n, 0), [Factor.GAPS]).gaps.runs]
    number = next(n for n in numbers if not draw_settings((2, 3, n, 0), [Factor.GAPS]).gaps.fill_holes)
    lacking, whole = simulate(3, number, 2, [Factor.GAPS]), simulate(3, number, 2, [])
    assert lacking.volume.insonified.sum() < 0.98 * whole.volume.insonified.sum()
    closed = ndimage.binary_closing(lacking.volume.insonified, iterations=2)
    assert (closed & ~lacking.volume.insonified).any()
    assert lacking.volume.array[~lacking.volume.insonified].max() == 0
    both = [np.isin(phantom.truth.array, phantom.visible) for phantom in (lacking, whole)]
    assert both[0].sum() == pytest.approx(both[1].sum(), rel=0.02)


def test_all_kinds_occur_within_their_limits(settings):
    probes = [s.imaging.probe for s in settings]
    assert {probe.geometry for probe in probes} == set(Geometry)
    assert {s.sweep.kind for s in settings} == {"translated", "rocked", "swept", "rotated"}
    assert {s.imaging.display.curve for s in settings} == set(Curve)
    assert {s.imaging.display.smoothing for s in settings} == set(Smoothing)
    frequencies, depths = ([getattr(p, name) for p in probes] for name in ("frequency_mhz", "depth_mm"))
    assert (min(frequencies) >= 3, max(frequencies) <= 10) == (True, True)
    assert (min(depths) >= 50, max(depths) <= 120) == (True, True)
    assert all(12 <= probe.radius_mm <= 60 for probe in probes if not probe.is_linear)
    spacings = [s.spacing_mm for s in settings]
    assert (SPACING_LIMITS_MM[0] <= min(spacings), max(spacings) <= SPACING_LIMITS_MM[1]) == (True, True)
    assert np.ptp(spacings) > 0.5
    assert all(s.imaging.display.black > 0 for s in settings)
    assert 0.2 < np.mean([bool(s.gaps.runs) for s in settings]) < 0.8
    assert 0.1 < np.mean([s.imaging.statistics.density < 1 for s in settings]) < 0.7
    assert 0.1 < np.mean([s.imaging.statistics.coherent > 0 for s in settings]) < 0.6


def test_a_low_frame_rate_leaves_frames_at_most_a_millimetre_apart(settings):
    slow = [s for s in settings if s.gaps.step > 1]
    assert slow
    for s in slow:
        step = s.gaps.affordable_step(0.3)
        assert 1 <= step <= s.gaps.step
        assert step == 1 or 0.3 * step <= MAX_FRAME_SPACING_MM
    assert slow[0].gaps.affordable_step(5.0) == 1


def test_local_frame_points_anywhere_in_reference(settings):
    beams = np.array([s.local_to_reference[:3, 2] for s in settings])
    assert (beams.min(0) < -0.7).all()
    assert (beams.max(0) > 0.7).all()
    for s in settings:
        np.testing.assert_allclose(s.local_to_reference[:3, :3] @ s.local_to_reference[:3, :3].T, np.eye(3), atol=1e-9)


def test_lesions_are_in_one_piece_with_a_seed_in_imaged_tissue(cohort):
    lesions = 0
    for case in cohort:
        volume, truth = case.volume(), case.truth_labels()
        np.testing.assert_allclose(np.ptp(np.linalg.norm(volume.ijk_to_ras[:3, :3], axis=0)), 0, atol=1e-9)
        for lesion in case.lesions:
            mask = truth.array == lesion.label
            pieces, _ = ndimage.label(mask, np.ones((3, 3, 3)))
            assert np.bincount(pieces.ravel())[1:].max() >= 0.98 * mask.sum()
            i, j, k = np.round(volume.ras_to_ijk @ [*lesion.seed_ras_mm, 1])[:3].astype(int)
            assert mask[k, j, i]
            assert volume.insonified[k, j, i]
            lesions += 1
    assert lesions >= len(cohort)


def test_cases_tell_what_varied_and_are_made_anew_for_another_version(cohort, tmp_path):
    for case in cohort:
        assert case.source["phantom_version"] == 2
        assert case.source["varied"] == [factor.value for factor in Factor]
        assert SPACING_LIMITS_MM[0] <= case.source["spacing_mm"] <= SPACING_LIMITS_MM[1]
    (first,) = write_cohort(tmp_path, 3, [0], factors=[Factor.DISPLAY])
    (kept,) = write_cohort(tmp_path, 3, [0], factors=[Factor.DISPLAY])
    assert kept == first
    (other,) = write_cohort(tmp_path, 3, [0], factors=[Factor.SPECKLE])
    assert other.source["varied"] == ["speckle"]
    (old,) = write_cohort(tmp_path, 3, [0], version=1)
    assert old.source == {"kind": "simulated", "phantom_version": 1, "seed": 3, "number": 0}


def test_streams_differ_by_factor_and_part():
    firsts = Counter(stream_of((2, 1, 0, 0), factor, part).random() for factor in Factor for part in (0, 1, 2))
    assert max(firsts.values()) == 1
    assert firsts == Counter(stream_of((2, 1, 0, 0), factor, part).random() for factor in Factor for part in (0, 1, 2))


def test_names_of_factors():
    assert factors_of("probe, display") == {Factor.PROBE, Factor.DISPLAY}
    for wrong in ("colour", "", "probe,"):
        with pytest.raises(ValueError, match="choose of probe, motion, spacing"):
            factors_of(wrong)


def test_command_takes_version_and_factors(tmp_path):
    done = run("phantom", "--out", tmp_path, "--seed", 3, "--vary", "display,speckle")
    assert (done.code, done.err) == (0, "")
    assert load_case(tmp_path / "phantom-3-000").source["varied"] == ["display", "speckle"]
    for arguments in (("--vary", "colour"), ("--vary", "probe", "--phantom-version", "1"), ("--phantom-version", "3")):
        done = run("phantom", "--out", tmp_path, *arguments)
        assert done.code == 2
        assert arguments[0] in done.err
