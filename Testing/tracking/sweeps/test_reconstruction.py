"""Volumes from sweeps so small that the answer can be written down."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import GeometryError, SweepError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.tracking.sweeps.calibration import ClipRectangle, Fan, ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.reconstruction import (
    Compounding,
    FramePoses,
    Grid,
    Interpolation,
    VolumeBuilder,
    grey,
    grid_of,
    place_frames,
    reconstruct_sweep,
)
from helpers.sweep_helpers import sequence_of, shifted, track
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

PIXELS_OF_1_MM = ProbeCalibration(np.eye(4))
LINE = Grid((2, 2, 4), np.eye(4))
"""Four voxels along x; the rest is only there because a volume needs two of everything."""


def build(frames, compounding=Compounding.MEAN, interpolation=Interpolation.NEAREST, dtype=np.uint8, grid=LINE):
    """The first row of a volume after frames of one row, each given as (pixels, x of the first one)."""
    builder = VolumeBuilder(grid, compounding, interpolation, dtype)
    for pixels, x_mm in frames:
        builder.insert(np.array([pixels], dtype), shifted(x_mm=x_mm))
    volume = builder.volume()
    return volume.array[0, 0].tolist(), volume.insonified[0, 0].tolist()


@pytest.mark.parametrize(
    ("compounding", "expected"),
    [(Compounding.MEAN, [15, 40, 0, 0]), (Compounding.MAXIMUM, [20, 60, 0, 0]), (Compounding.LATEST, [10, 20, 0, 0])],
)
def test_pixels_that_meet_in_a_voxel_are_compounded(compounding, expected):
    array, insonified = build([([20, 60], 0), ([10, 20], 0.3)], compounding)
    assert array == expected
    assert insonified == [True, True, False, False]


@pytest.mark.parametrize("compounding", Compounding)
def test_black_pixels_are_swept_and_negative_ones_survive(compounding):
    assert build([([0], 1)], compounding) == ([0, 0, 0, 0], [False, True, False, False])
    assert build([([-7], 1)], compounding, dtype=np.int16)[0] == [0, -7, 0, 0]
    assert build([([-0.5], 1)], compounding, dtype=np.float32)[0] == [0, -0.5, 0, 0]


def test_latest_takes_the_last_of_one_frame_as_well():
    builder = VolumeBuilder(LINE, Compounding.LATEST)
    builder.insert(np.array([[1, 2, 3]], np.uint8), np.diag([0.1, 1, 1, 1]))
    assert builder.volume().array[0, 0].tolist() == [3, 0, 0, 0]


def test_mean_of_many_bright_pixels_does_not_run_over():
    for dtype in (np.uint8, np.uint16, np.int32):
        high = np.iinfo(dtype).max
        builder = VolumeBuilder(LINE, pixel_type=dtype)
        for _ in range(3):
            builder.insert(np.full((100, 1000), high, dtype), np.diag([1e-6, 1e-6, 1, 1]))
        assert builder.volume().array[0, 0, 0] == high


def test_linear_interpolation_shares_a_pixel_among_its_neighbours():
    grid = Grid((2, 2, 4), np.eye(4))
    array, insonified = build([([80], 1.25), ([40], 1.75)], interpolation=Interpolation.LINEAR, grid=grid)
    assert array == [0, 70, 50, 0]  # (80 * 0.75 + 40 * 0.25) / 1 and the other way round
    assert insonified == [False, True, True, False]


@pytest.mark.parametrize(
    ("compounding", "expected"), [(Compounding.MAXIMUM, [0, 80, 80, 0]), (Compounding.LATEST, [0, 40, 40, 0])]
)
def test_linear_interpolation_gives_the_whole_pixel_to_voxels_with_an_eighth_of_it(compounding, expected):
    frames = [([80], 1.5), ([40], 1.5), ([99], 1.1)]
    array, _ = build(frames[:2], compounding, Interpolation.LINEAR)
    assert array == expected
    assert build(frames[2:], compounding, Interpolation.LINEAR)[0] == [0, 99, 0, 0]


@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("compounding", Compounding)
def test_pixels_outside_the_grid_are_left_out(compounding, interpolation):
    for x_mm in (-2, 2, -1e9, 1e9):
        pixels = [1, 2, 3, 4]
        array, _ = build([(pixels, x_mm)], compounding, interpolation)
        assert array == [pixels[x - int(x_mm)] if 0 <= x - x_mm < 4 else 0 for x in range(4)]


def test_snapshot_may_be_taken_at_any_time_and_does_not_change_afterwards():
    builder = VolumeBuilder(LINE)
    assert not builder.volume().insonified.any()
    builder.insert(np.array([[10]], np.uint8), np.eye(4))
    early = builder.volume(timestamp_s=5.0)
    builder.insert(np.array([[30]], np.uint8), np.eye(4))
    assert (early.array[0, 0, 0], builder.volume().array[0, 0, 0], builder.frames) == (10, 20, 2)
    assert (early.device, early.timestamp_s) == ("recvol_Reference", 5.0)


def test_points_are_averaged_in_the_nearest_voxel_and_leave_holes():
    builder = VolumeBuilder(LINE, pixel_type=np.float64, voxel_type=np.uint8)
    builder.insert_points(np.array([10.0, 30.0, 50.0]), np.array([[0.0, 0, 0], [0.4, 0, 0], [2.0, 0, 0]]))
    volume = builder.volume()
    assert volume.array[0, 0].tolist() == [20, 0, 50, 0]
    assert volume.insonified[0, 0].tolist() == [True, False, True, False]


def test_frame_of_another_kind_is_refused():
    builder = VolumeBuilder(LINE)
    for frame in (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.uint16)):
        with pytest.raises(SweepError, match="expected grey frames of uint8"):
            builder.insert(frame, np.eye(4))


def oblique_left_handed():
    """Pixels of 0.5 x 0.7 mm on a tilted plane; the third column points to the wrong side."""
    matrix = shifted(3, -4, 5)
    matrix[:3, :3] = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix() * [0.5, 0.7, -1]
    return matrix


def test_oblique_probe_and_left_handed_image_put_each_pixel_where_the_matrices_say():
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 255, (3, 6, 5), dtype=np.uint8)
    pose = shifted(10, 20, 30)
    pose[:3, :3] = Rotation.from_euler("zyx", [70, 10, -15], degrees=True).as_matrix()
    poses = [shifted(z_mm=4 * n) @ pose for n in range(3)]
    sequence = sequence_of(frames, poses)
    sequence.transforms["ReferenceToTracker"].matrices[:] = shifted(1, 2, 3) @ np.linalg.inv(pose)
    volume = reconstruct_sweep(sequence, ProbeCalibration(oblique_left_handed()), 0.05)
    for n in range(3):
        for row, column in ((0, 0), (5, 4), (2, 3)):
            in_tracker = transform_points(poses[n] @ oblique_left_handed(), [column, row, 0])
            in_reference = transform_points(pose @ shifted(-1, -2, -3), in_tracker)
            i, j, k = np.round(transform_points(volume.ras_to_ijk, in_reference)).astype(int)
            assert volume.array[k, j, i] == frames[n, row, column]
    assert np.count_nonzero(volume.insonified) == frames.size


def test_given_grid_may_be_oblique_and_anisotropic():
    image = oblique_left_handed()
    grid = Grid((2, 6, 5), image)
    frame = np.arange(30, dtype=np.uint8).reshape(6, 5)
    volume = reconstruct_sweep(sequence_of([frame], [np.eye(4)]), ProbeCalibration(image), grid=grid)
    assert (volume.array[0] == frame).all()
    assert not volume.insonified[1].any()
    assert Grid.of(volume).shape_kji == (2, 6, 5)


def test_volume_holds_all_accepted_frames_at_multiples_of_the_spacing():
    frames = np.full((4, 2, 3), 9, np.uint8)
    poses = [shifted(0.3, 0.3, 0.3 + n) for n in range(3)] + [shifted(x_mm=1e6)]
    sequence = sequence_of(frames, poses, ["OK", "OK", "OK", "INVALID"])
    volume = reconstruct_sweep(sequence, PIXELS_OF_1_MM, 0.5)
    assert volume.ijk_to_ras[:3, 3].tolist() == [0, 0, 0]
    assert volume.shape_ijk.tolist() == [6, 4, 6]  # to 2.3, 1.3 and 2.3 mm
    assert np.count_nonzero(volume.insonified) == 18
    assert volume.timestamp_s == pytest.approx(100.2)
    assert volume.device == "recvol_Reference"


def test_frames_are_rejected_for_their_image_or_a_transform_on_the_way_and_counted():
    sequence = sequence_of(
        np.full((5, 2, 2), 7, np.uint8),
        statuses=["OK", "INVALID", "MISSING", "OK", "OK"],
        image_statuses=["OK", "OK", "INVALID", "INVALID", "OK"],
    )
    sequence.transforms["StylusToTracker"] = track([np.zeros((4, 4))] * 5, ["INVALID"] * 5)
    poses = place_frames(sequence, PIXELS_OF_1_MM)
    assert poses.accepted.tolist() == [True, False, False, False, True]
    assert poses.rejections == {"ProbeToTracker INVALID": 1, "ProbeToTracker MISSING": 1, "image INVALID": 1}
    assert str(poses).startswith("2 of 5 frames used; left out: 1 for ProbeToTracker INVALID")


def test_no_frame_left_is_an_error_that_says_why():
    with pytest.raises(SweepError, match=r"no frame of tiny can be used: 0 of 2 .* 2 for ProbeToTracker MISSING"):
        reconstruct_sweep(sequence_of(np.zeros((2, 2, 2), np.uint8), statuses=["MISSING"] * 2), PIXELS_OF_1_MM)


def test_way_to_the_reference_must_be_known():
    sequence = sequence_of(np.zeros((2, 2, 2), np.uint8))
    with pytest.raises(SweepError, match="no transform from Image to Reference"):
        reconstruct_sweep(sequence)
    del sequence.transforms["ReferenceToTracker"]
    with pytest.raises(SweepError, match="no transform from Image to Reference"):
        reconstruct_sweep(sequence, PIXELS_OF_1_MM)


def test_sequence_may_hold_its_own_calibration_but_a_given_one_stands_above_it():
    sequence = sequence_of(np.zeros((1, 2, 2), np.uint8))
    sequence.transforms["ImageToReference"] = track([shifted(x_mm=5)])
    assert place_frames(sequence).matrices[0, 0, 3] == 5
    assert place_frames(sequence, ProbeCalibration(shifted(x_mm=9))).matrices[0, 0, 3] == 9


@pytest.mark.parametrize("z_mm", [1e7, 1e30, 1e300])
def test_pose_beyond_reason_is_refused(z_mm):
    sequence = sequence_of(np.ones((2, 3, 4), np.uint8), [np.eye(4), shifted(z_mm=z_mm)])
    with pytest.raises(SweepError, match="frames lie up to"):
        reconstruct_sweep(sequence, ProbeCalibration(np.eye(4)))


def test_too_large_a_volume_is_refused_with_the_spacing_that_would_fit():
    sequence = sequence_of(np.zeros((2, 100, 100), np.uint8), [np.eye(4), shifted(z_mm=100)])
    with pytest.raises(SweepError, match=r"would have \d+ x \d+ x \d+ voxels.*spacing of (\d\.\d+) mm") as caught:
        reconstruct_sweep(sequence, PIXELS_OF_1_MM, 0.1)
    fitting = float(str(caught.value).split("spacing of ")[1].split()[0])
    assert 0.1 < fitting < 0.3
    grid_of(place_frames(sequence, PIXELS_OF_1_MM), PIXELS_OF_1_MM.region(100, 100), fitting)


@pytest.mark.parametrize("spacing", [0, -1, float("nan"), (1, 2)])
def test_spacing_must_be_a_length(spacing):
    with pytest.raises(SweepError, match="spacing must be"):
        reconstruct_sweep(sequence_of(np.zeros((2, 2, 2), np.uint8)), PIXELS_OF_1_MM, spacing)


def test_grid_needs_a_matrix_that_places_voxels_and_two_voxels_each_way():
    with pytest.raises(GeometryError):
        Grid((2, 2, 2), np.zeros((4, 4)))
    with pytest.raises(SweepError, match="at least 2 voxels"):
        Grid((1, 2, 2), np.eye(4))


def test_clip_rectangle_and_fan_leave_pixels_out_and_shrink_the_volume():
    frame = np.full((5, 6), 8, np.uint8)
    clip, fan = ClipRectangle((1, 0), (5, 4)), Fan((3, 0), (-45, 45), (1, 3))
    clipped = reconstruct_sweep(sequence_of([frame]), ProbeCalibration(np.eye(4), clip=clip))
    assert clipped.insonified[0].tolist() == [[True] * 5] * 4
    assert clipped.ijk_to_ras[0, 3] == 1
    both = reconstruct_sweep(sequence_of([frame]), ProbeCalibration(np.eye(4), clip=clip, fan=fan))
    assert ["".join(str(int(v)) for v in row) for row in both.insonified[0]] == ["00000", "01110", "11111", "00100"]


def test_colour_becomes_brightness():
    frame = np.array([[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert grey(frame).tolist() == [[255, 77, 149, 29]]
    opaque = np.concatenate([frame, np.full((1, 4, 1), 99, np.uint8)], axis=2)
    assert (grey(opaque) == grey(frame)).all()
    assert (grey(frame[..., :1]) == frame[..., 0]).all()
    with pytest.raises(SweepError, match="2 components"):
        grey(frame[..., :2])
    volume = reconstruct_sweep(sequence_of([frame, frame]), PIXELS_OF_1_MM)
    assert volume.array[0, 0].tolist() == [255, 77, 149, 29]


def test_progress_counts_the_frames_that_are_used():
    told = []
    sequence = sequence_of(np.zeros((3, 2, 2), np.uint8), statuses=["OK", "INVALID", "OK"])
    reconstruct_sweep(sequence, PIXELS_OF_1_MM, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_gaps_between_frames_are_filled_when_asked_for():
    frames = np.stack([np.full((9, 9), value, np.uint8) for value in (10, 20)])
    sequence = sequence_of(frames, [np.eye(4), shifted(z_mm=4)])
    assert not reconstruct_sweep(sequence, PIXELS_OF_1_MM).insonified[2].any()
    volume = reconstruct_sweep(sequence, PIXELS_OF_1_MM, fill_holes=True)
    assert volume.insonified[:, 4, 4].all()
    assert volume.array[:, 4, 4].tolist() == [10, 10, 15, 20, 20]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(list(Compounding)))
def test_bin_filling_is_what_a_plain_loop_gives(seed, compounding):
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 255, (3, 4, 5), dtype=np.uint8)
    matrices = np.tile(np.eye(4), (3, 1, 1))
    matrices[:, :3, :3] = Rotation.from_rotvec(3 * rng.normal(size=(3, 3))).as_matrix() * rng.uniform(0.3, 1.5)
    matrices[:, :3, 3] = rng.uniform(0, 4, (3, 3))
    grid = Grid((5, 4, 6), np.eye(4))
    builder = VolumeBuilder(grid, compounding)
    met: dict[tuple, list[int]] = {}
    for frame, matrix in zip(frames, matrices):
        builder.insert(frame, matrix)
        for (row, column), value in np.ndenumerate(frame):
            kji = tuple(np.rint(transform_points(matrix, [column, row, 0])).astype(int)[::-1])
            if all(0 <= n < count for n, count in zip(kji, grid.shape_kji)):
                met.setdefault(kji, []).append(int(value))
    volume = builder.volume()
    answer = {
        Compounding.MEAN: lambda v: np.round(np.mean(v)),
        Compounding.MAXIMUM: max,
        Compounding.LATEST: lambda v: v[-1],
    }
    assert set(zip(*np.nonzero(volume.insonified))) == set(met)
    assert all(volume.array[kji] == answer[compounding](values) for kji, values in met.items())


def test_poses_can_be_found_first_to_tell_what_is_left_out():
    sequence = sequence_of(np.full((2, 2, 2), 7, np.uint8))
    poses = FramePoses(np.stack([np.eye(4), shifted(z_mm=1)]), np.array([True, False]), {"too fast": 1})
    volume = reconstruct_sweep(sequence, PIXELS_OF_1_MM, poses=poses)
    assert isinstance(volume, Volume)
    assert volume.timestamp_s == 100.0
