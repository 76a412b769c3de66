"""Version 1 of the phantom against the published figures that it is built from, and against itself."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from CRLMSegmentationLib.core.field_of_view import infer_field_of_view
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.recording.case import load_case
from CRLMSegmentationLib.research.phantom import cases, simulation
from CRLMSegmentationLib.research.phantom.cases import write_phantom_case
from CRLMSegmentationLib.research.phantom.lesions import DIAMETER_MM, ECHOGENICITY_SHARES, PATTERN_SHARES, draw_tumours
from CRLMSegmentationLib.research.phantom.probe import Probe
from CRLMSegmentationLib.research.phantom.simulation import simulate
from CRLMSegmentationLib.research.phantom.speckle import RAYLEIGH, envelope
from CRLMSegmentationLib.research.phantom.sweep import draw_sweep
from helpers.cli_helpers import names_in, run

PROBE = Probe()


@pytest.fixture(scope="module")
def phantom():
    return simulate(seed=3, number=0, version=1)


@pytest.fixture(scope="module")
def even_tissue():
    """Envelope of tissue without structure; the ends along the sweep and the sides are left off."""
    scattering = np.zeros((60, PROBE.lines, PROBE.samples), np.float32)
    return envelope(scattering, 0.55, np.random.default_rng(0), PROBE, RAYLEIGH)


def test_speckle_before_compression_is_rayleigh(even_tissue):
    assert even_tissue.mean() / even_tissue.std() == pytest.approx(1.91, rel=0.03)
    assert (even_tissue**2).mean() == pytest.approx(1, rel=0.05)


def test_point_spread_widens_away_from_the_focus(even_tissue):
    def lateral_correlation(depth_mm):
        sample = int(depth_mm / PROBE.depth_mm * PROBE.samples)
        lines = even_tissue[:, :, sample - 3 : sample + 3] - even_tissue[:, :, sample - 3 : sample + 3].mean()
        shifted = (lines[:, 1:] * lines[:, :-1]).mean() / (lines**2).mean()
        return PROBE.line_spacing_mm[sample] / np.sqrt(-np.log(shifted))

    assert lateral_correlation(85) > 1.3 * lateral_correlation(40)


def test_scattering_level_is_what_was_asked_for():
    scattering = np.full((40, PROBE.lines, PROBE.samples), -6.0, np.float32)
    amplitude = envelope(scattering, 0.55, np.random.default_rng(1), PROBE, RAYLEIGH)
    assert 10 * np.log10((amplitude**2).mean()) == pytest.approx(-6, abs=0.3)


def test_cohort_has_the_published_mix():
    patients = [draw_tumours(np.random.default_rng([9, n])) for n in range(1500)]
    echogenicity = Counter(tumours[0].echogenicity for tumours in patients)
    for name, share in ECHOGENICITY_SHARES.items():
        assert echogenicity[name] / len(patients) == pytest.approx(share, abs=0.04)
    tumours = [t for tumours in patients for t in tumours]
    patterns = Counter(t.pattern for t in tumours)
    for name, share in PATTERN_SHARES.items():
        assert patterns[name] / len(tumours) == pytest.approx(share, abs=0.04)
    diameters = [t.diameter_mm for t in tumours]
    assert min(diameters) >= DIAMETER_MM[2] - 0.01
    assert max(diameters) <= DIAMETER_MM[3] + 0.01
    assert all(len({t.echogenicity for t in tumours}) == 1 for tumours in patients)
    assert any(len(tumours) > 1 for tumours in patients)


def test_command_writes_the_same_patient_for_the_same_seed(phantom, tmp_path):
    """In a process of its own."""
    done = run("phantom", "--phantom-version", 1, "--seed", 3, "--out", tmp_path / "new" / "cohort")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"1 simulated case in {tmp_path / 'new' / 'cohort'}\n"
    assert names_in(tmp_path / "new" / "cohort") == ["phantom-3-000"]
    case = load_case(tmp_path / "new" / "cohort" / "phantom-3-000")
    volume, truth = case.volume(), case.truth_labels()
    np.testing.assert_array_equal(volume.array, phantom.volume.array)
    np.testing.assert_array_equal(truth.array, phantom.truth.array)
    np.testing.assert_allclose(volume.ijk_to_ras, phantom.volume.ijk_to_ras, atol=1e-9)
    assert case.lesions
    for lesion in case.lesions:
        i, j, k = np.round(volume.ras_to_ijk @ [*lesion.seed_ras_mm, 1])[:3].astype(int)
        assert truth.array[k, j, i] == lesion.label
    assert len({sample.device for sample in case.tracking_samples()}) == 3


def test_truth_lies_where_the_tumour_is(phantom):
    for number in phantom.visible:
        tumour = phantom.anatomy.tumours[number - 1]
        mask = phantom.truth.array == number
        center = transform_points(phantom.truth.ijk_to_ras, np.argwhere(mask).mean(0)[::-1])
        expected = transform_points(phantom.local_to_reference, tumour.center_mm)
        assert np.linalg.norm(center - expected) < 0.5 * tumour.diameter_mm
        assert phantom.volume.insonified[mask].mean() > 0.5


def test_real_artefacts_arise(phantom):
    insonified = phantom.volume.insonified
    assert 0.1 < insonified.mean() < 0.9
    assert phantom.volume.array[~insonified].max() == 0
    inside = insonified[10:-10, 10:-10, 10:-10]
    assert (~inside).sum() > 0


def test_empty_voxels_are_recognised_without_the_accumulation_buffer(phantom):
    assert (infer_field_of_view(phantom.volume.array) == phantom.volume.insonified).mean() > 0.999


def test_tracked_poses_differ_from_the_true_ones_by_the_noise_of_the_tracker():
    sweep = draw_sweep(np.random.default_rng(2))
    error = np.linalg.norm(sweep.tracked_poses[:, :3, 3] - sweep.true_poses[:, :3, 3], axis=1)
    assert 0.3 < error.mean() < 1.5
    assert np.abs(sweep.breathing_mm).max() < 1.5


def test_another_seed_or_number_is_another_patient(monkeypatch):
    monkeypatch.setattr(
        simulation, "_simulate_version_1", lambda rng: SimpleNamespace(visible=[1], drawn=draw_tumours(rng))
    )
    diameters = [
        tuple(tumour.diameter_mm for tumour in simulate(*numbers, version=1).drawn)
        for numbers in ((3, 0), (3, 0), (3, 1), (5, 0))
    ]
    assert diameters[0] == diameters[1]
    assert len(set(diameters)) == 3


def test_case_folder_is_complete_deterministic_and_verified(phantom, tmp_path, monkeypatch):
    """That the same seed simulates the same patient is shown above; here one is written twice."""
    monkeypatch.setattr(
        cases, "simulate", lambda seed, number, version, factors: {(3, 0, 1): phantom}[seed, number, version]
    )
    case = write_phantom_case(tmp_path / "a", seed=3, number=0, version=1)
    write_phantom_case(tmp_path / "b", seed=3, number=0, version=1)
    assert (tmp_path / "a" / "case.json").read_text() == (tmp_path / "b" / "case.json").read_text()
    read = load_case(tmp_path / "a")
    assert read.source["kind"] == "simulated"
    truth = read.truth_labels()
    for lesion in case.lesions:
        kji = np.round(transform_points(np.linalg.inv(truth.ijk_to_ras), lesion.seed_ras_mm))[::-1].astype(int)
        assert truth.array[tuple(kji)] == lesion.label
    devices = Counter(sample.device for sample in read.tracking_samples())
    assert set(devices) == set(read.devices.values())
    assert len(set(devices.values())) == 1
