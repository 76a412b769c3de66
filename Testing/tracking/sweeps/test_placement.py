"""The way from the pixels of a sweep to Reference: by any names, through crops, and refused where nobody can know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.core.geometry import transform_points
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.placement import place_frames
from CRLMSegmentationLib.tracking.sweeps.sequence import Pairing
from CRLMSegmentationLib.tracking.sweeps.sweep_transforms import is_rigid
from helpers.sweep_helpers import sequence_of, shifted, track
from scipy.spatial.transform import Rotation

PIXEL_MM = 0.4
ROWS, COLUMNS, COUNT = 8, 10, 4
IMAGE_TO_PROBE = np.array([[PIXEL_MM, 0, 0, -20], [0, 0, -PIXEL_MM, 5], [0, PIXEL_MM, 0, 2], [0, 0, 0, 1.0]])
CALIBRATION = ProbeCalibration(IMAGE_TO_PROBE)
CROP = shifted(-30, -20)
"""Image to the picture whose first pixel is (30, 20) of it, as PLUS's EditSequenceFile writes it."""


def chained(**transforms) -> ProbeCalibration:
    return ProbeCalibration(transforms.pop("ImageToProbe", None), transforms)


def tracked(**transforms):
    """A sweep of four frames with these transforms, each one matrix or one for each frame."""
    sequence = sequence_of(np.zeros((COUNT, ROWS, COLUMNS), np.uint8))
    tracks = {name: track(np.broadcast_to(matrix, (COUNT, 4, 4))) for name, matrix in transforms.items()}
    return replace(sequence, transforms=tracks)


def poses(x_mm=0.0):
    """Probe in another frame: turned, and 1 mm farther along z with each frame."""
    turned = shifted(x_mm, 3, 4)
    turned[:3, :3] = Rotation.from_euler("xyz", [10, 20, 30], degrees=True).as_matrix()
    return np.stack([shifted(z_mm=n) @ turned for n in range(COUNT)])


def first_pixel_mm(placed):
    return transform_points(placed.matrices[1], [0, 0, 0])


def expected_mm(pixel, image_to_probe=IMAGE_TO_PROBE):
    return transform_points(poses()[1] @ image_to_probe, [*pixel, 0])


@pytest.mark.parametrize(
    ("edits", "pixel"),
    [
        ({"ImageToCroppedImage": CROP}, (30, 20)),
        ({"CroppedImageToImage": np.linalg.inv(CROP)}, (30, 20)),
        ({"ImageToBlaBla": CROP}, (30, 20)),
        ({"ImageToFlippedImage": shifted(9) @ np.diag([-1.0, 1, 1, 1])}, (9, 0)),
        ({"ImageToTurnedImage": shifted(9, 7) @ np.diag([-1.0, -1, 1, 1])}, (9, 7)),
        ({"ImageToCroppedImage": CROP, "CroppedImageToFlippedImage": shifted(9) @ np.diag([-1.0, 1, 1, 1])}, (39, 20)),
        ({"ImageToScaledImage": np.diag([0.5, 0.5, 1, 1])}, (0, 0)),
    ],
)
def test_pixels_of_an_edited_picture_are_followed_whatever_the_transform_is_called(edits, pixel):
    placed = place_frames(tracked(ProbeToReference=poses(), **edits), CALIBRATION)
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm(pixel), atol=1e-9)
    assert placed.pixels.name != "Image"
    assert any(f"the pixels are in {placed.pixels.name}" in note for note in placed.notes)


def test_scaled_picture_has_larger_pixels():
    placed = place_frames(tracked(ProbeToReference=poses(), ImageToHalf=np.diag([0.5, 0.5, 1, 1])), CALIBRATION)
    assert np.linalg.norm(placed.matrices[0][:3, 0]) == pytest.approx(2 * PIXEL_MM)


def test_crop_may_move_from_frame_to_frame():
    crops = np.stack([shifted(-n, -2 * n) for n in range(COUNT)])
    placed = place_frames(tracked(ProbeToReference=poses(), ImageToCroppedImage=crops), CALIBRATION)
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((1, 2)), atol=1e-9)


@pytest.mark.parametrize(
    ("sweep", "calibration"),
    [
        (
            {"ImageToTransd": np.diag([PIXEL_MM, PIXEL_MM, PIXEL_MM, 1])},
            {"TransdToProbe": IMAGE_TO_PROBE @ np.diag([1 / PIXEL_MM] * 3 + [1])},
        ),
        ({"ImageToTransducer": np.diag([0.087, 0.087, 0.087, 1])}, {"ImageToProbe": IMAGE_TO_PROBE}),
        ({"ImageToMillimetres": np.diag([PIXEL_MM, PIXEL_MM, 1, 1])}, {"ImageToProbe": IMAGE_TO_PROBE}),
        ({"ImageToTransducerOriginPixel": shifted(-410, -5)}, {"ImageToProbe": IMAGE_TO_PROBE}),
        ({}, {"ImageToTransducerOriginPixel": shifted(-410, -5), "ImageToProbe": IMAGE_TO_PROBE}),
        ({}, {"ImageToImageFull": shifted(335, 285), "ImageFullToProbe": IMAGE_TO_PROBE @ shifted(-335, -285)}),
        ({"ImageToImageFull": shifted(335, 285)}, {"ImageFullToProbe": IMAGE_TO_PROBE @ shifted(-335, -285)}),
        ({"ImageToCroppedImage": np.eye(4)}, {"ImageToProbe": IMAGE_TO_PROBE}),
        ({"ImageToProbe": IMAGE_TO_PROBE}, {}),
    ],
)
def test_pixels_stay_in_image_where_another_frame_is_no_picture_made_of_it(sweep, calibration):
    placed = place_frames(tracked(ProbeToReference=poses(), **sweep), chained(**calibration))
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)


def test_calibration_of_the_cropped_picture_is_taken_as_it_is():
    sweep = tracked(ProbeToReference=poses(), ImageToCroppedImage=CROP)
    placed = place_frames(sweep, chained(CroppedImageToProbe=IMAGE_TO_PROBE))
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)


@pytest.mark.parametrize(
    "edits",
    [
        {"ImageToCroppedImage": CROP, "ImageToFlippedImage": shifted(9) @ np.diag([-1.0, 1, 1, 1])},
        {"ImageToPaddedImage": shifted(10, 10)},
        {"ImageToSomeImage": np.diag([PIXEL_MM, PIXEL_MM, 1, 1])},
    ],
)
def test_several_frames_of_the_pixels_are_refused_and_the_option_decides(edits):
    sweep = tracked(ProbeToReference=poses(), **edits)
    with pytest.raises(SweepError, match="say which with --image-frame") as caught:
        place_frames(sweep, CALIBRATION)
    for name in edits:
        assert name.partition("To")[2] in str(caught.value)
    placed = place_frames(sweep, CALIBRATION, image_frame="Image")
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)
    assert "as --image-frame says" in placed.notes[0]


@pytest.mark.parametrize(
    ("name", "matrix"),
    [
        ("ImageToScreen", np.diag([2.0, 2, 1, 1])),
        ("ImageToDisplay", shifted(9) @ np.diag([-1.0, 1, 1, 1])),
        ("ViewportToImage", np.diag([0.5, 0.5, 1, 1])),
    ],
)
def test_frame_in_which_a_picture_is_only_shown_is_refused_and_the_option_decides(name, matrix):
    sweep = tracked(ProbeToReference=poses(), **{name: matrix})
    with pytest.raises(SweepError, match=f"{name} may tell only how a picture is shown.*--image-frame"):
        place_frames(sweep, CALIBRATION)
    placed = place_frames(sweep, CALIBRATION, image_frame="Image")
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)


def test_crop_that_the_configuration_undoes_already_is_not_undone_twice():
    """PLUS's own example for cropped sweeps calls the cropped picture Image, and the whole one ImageFull."""
    sweep = tracked(ProbeToReference=poses(), ImageToCroppedImage=CROP)
    calibration = chained(ImageToImageFull=np.linalg.inv(CROP), ImageFullToProbe=IMAGE_TO_PROBE)
    with pytest.raises(SweepError, match="the crop of the sweep and ImageToImageFull of the calibration"):
        place_frames(sweep, calibration)
    placed = place_frames(sweep, calibration, image_frame="Image")
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((30, 20)), atol=1e-9)


def test_crop_of_which_no_frame_is_valid_is_refused():
    sweep = tracked(ProbeToReference=poses())
    sweep.transforms["ImageToCroppedImage"] = track([CROP] * COUNT, ["INVALID"] * COUNT)
    with pytest.raises(SweepError, match="ImageToCroppedImage is valid in no frame"):
        place_frames(sweep, CALIBRATION)


def test_unknown_image_frame_is_refused_with_the_known_ones():
    with pytest.raises(SweepError, match="--image-frame can be one of: Image, Probe, Reference"):
        place_frames(tracked(ProbeToReference=poses()), CALIBRATION, image_frame="Picture")


@pytest.mark.parametrize(
    ("sensor", "calibration"),
    [
        ("Ultrasound", {"ImageToUltrasound": IMAGE_TO_PROBE}),
        ("Probe", {"ImageToImageFull": np.eye(4), "ImageFullToProbe": IMAGE_TO_PROBE}),
        ("BKProbe", {"BKProbeToImage": np.linalg.inv(IMAGE_TO_PROBE)}),
        ("Probe", {"UltrasoundPictureToProbe": IMAGE_TO_PROBE}),
    ],
)
def test_any_names_that_a_configuration_chains_lead_to_reference(sensor, calibration):
    placed = place_frames(tracked(**{f"{sensor}ToReference": poses()}), chained(**calibration))
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)


def test_calibration_of_another_sensor_is_refused_with_what_is_tracked():
    with pytest.raises(SweepError, match=r"must lead from Image to a tracked sensor \(Reference, Ultrasound\)"):
        place_frames(tracked(UltrasoundToReference=poses()), CALIBRATION)


def test_sweep_without_a_reference_sensor_names_the_option_that_places_it_in_the_tracker():
    sweep = tracked(ProbeToTracker=poses())
    with pytest.raises(SweepError, match="--frame Tracker"):
        place_frames(sweep, CALIBRATION)
    placed = place_frames(sweep, CALIBRATION, "Tracker")
    assert placed.frame == "Tracker"
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)


@pytest.mark.parametrize("calibration", [None, CALIBRATION])
def test_tools_whose_names_tell_of_no_frames_are_told_as_such(calibration):
    """TDATA may bring tools that are called "Probe" and "Reference"."""
    sweep = tracked(Probe=poses(), Reference=np.eye(4))
    with pytest.raises(SweepError, match="the poses of Probe, Reference do not say between which two frames") as caught:
        place_frames(sweep, calibration)
    assert "none is tracked" not in str(caught.value)
    assert "such as ProbeToTracker" in str(caught.value)


def test_two_senders_under_one_name_are_advised_to_use_two():
    sweep = tracked()
    sweep.transforms["ProbeToReference"] = track(poses(), ["AMBIGUOUS"] * COUNT)
    with pytest.raises(
        SweepError, match=r"4 for ProbeToReference AMBIGUOUS; give each of the tools .* a name of its own"
    ):
        place_frames(sweep, CALIBRATION)


def test_frame_of_the_pixels_is_no_place():
    with pytest.raises(SweepError, match="--frame Image is the frame of the pixels"):
        place_frames(tracked(ProbeToReference=poses()), CALIBRATION, "Image")


def test_frame_for_which_a_configuration_reconstructs_is_told_and_not_taken():
    calibration = ProbeCalibration(IMAGE_TO_PROBE, reference_frame="Tracker")
    notes = place_frames(tracked(ProbeToReference=poses()), calibration).notes
    assert any("--frame Tracker follows it" in note for note in notes)


def test_two_ways_that_disagree_are_refused_and_an_option_leaves_one_out():
    sweep = tracked(ProbeToReference=poses(), ProbeToTracker=poses(5), ReferenceToTracker=np.eye(4))
    with pytest.raises(SweepError, match=r"two ways lead from Image to Reference.* differ by up to 5\.0 mm.*--ignore"):
        place_frames(sweep, CALIBRATION)
    np.testing.assert_allclose(
        first_pixel_mm(place_frames(sweep, CALIBRATION, ignored=["ProbeToTracker"])), expected_mm((0, 0)), atol=1e-9
    )
    other = place_frames(sweep, CALIBRATION, ignored=["ProbeToReference"])
    np.testing.assert_allclose(first_pixel_mm(other), expected_mm((0, 0)) + [5, 0, 0], atol=1e-9)
    with pytest.raises(SweepError, match="--ignore Nonsense: tiny has no such transform"):
        place_frames(sweep, CALIBRATION, ignored=["Nonsense"])


def test_single_frames_in_which_two_ways_disagree_are_left_out():
    other = poses()
    other[2, 0, 3] += 5
    sweep = tracked(ProbeToReference=poses(), ProbeToTracker=other, ReferenceToTracker=np.eye(4))
    placed = place_frames(sweep, CALIBRATION)
    assert placed.accepted.tolist() == [True, True, False, True]
    assert "disagree" in next(iter(placed.rejections))


def test_ways_that_agree_say_nothing():
    sweep = tracked(ProbeToReference=poses(), ProbeToTracker=poses(), ReferenceToTracker=np.eye(4))
    placed = place_frames(sweep, CALIBRATION)
    assert (placed.rejections, placed.notes) == ({}, ())


@pytest.mark.parametrize("name", ["ImageToProbe", "ImageToReference"])
def test_given_calibration_that_differs_from_that_of_the_sweep_is_taken_and_told(name):
    own = IMAGE_TO_PROBE @ shifted(10)
    sweep = tracked(ProbeToReference=poses(), **{name: own if name == "ImageToProbe" else poses() @ own})
    placed = place_frames(sweep, CALIBRATION)
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)
    assert any("4.0 mm" in note and "the given one was used" in note for note in placed.notes)
    same = tracked(ProbeToReference=poses(), ImageToReference=poses() @ IMAGE_TO_PROBE)
    assert place_frames(same, CALIBRATION).notes == ()


def test_tool_that_is_tracked_stands_above_what_a_configuration_says_of_it():
    calibration = chained(ImageToProbe=IMAGE_TO_PROBE, ProbeToReference=shifted(99))
    placed = place_frames(tracked(ProbeToReference=poses()), calibration)
    np.testing.assert_allclose(first_pixel_mm(placed), expected_mm((0, 0)), atol=1e-9)
    assert placed.notes == ("ProbeToReference of the configuration was not used: the sweep tracks it",)


BAD_POSES = {
    "scaled": np.diag([1.1, 1.1, 1.1, 1]),
    "scaled a little": np.diag([1.005, 1.005, 1.005, 1]),
    "sheared a little": np.array([[1, 0.008, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
    "mirrored": np.diag([-1.0, 1, 1, 1]),
    "sheared": np.array([[1, 0.3, 0, 0], [0, 0.954, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    "flat": np.diag([0.0, 1, 1, 1]),
    "empty": np.zeros((4, 4)),
    "projective": np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.1, 0, 0, 1.0]]),
}


@pytest.mark.parametrize("kind", BAD_POSES)
@pytest.mark.parametrize("name", ["ProbeToTracker", "ReferenceToTracker"])
def test_pose_that_is_not_rigid_is_left_out_and_counted(kind, name):
    transforms = {"ProbeToTracker": poses().copy(), "ReferenceToTracker": np.tile(np.eye(4), (COUNT, 1, 1))}
    transforms[name][2] = BAD_POSES[kind]
    placed = place_frames(tracked(**transforms), CALIBRATION)
    assert placed.accepted.tolist() == [True, True, False, True]
    assert placed.rejections in ({f"{name} not rigid": 1}, {f"{name} singular": 1})


def test_sweep_whose_poses_all_scale_is_refused():
    with pytest.raises(SweepError, match="left out: 4 for ProbeToReference not rigid"):
        place_frames(tracked(ProbeToReference=poses() @ BAD_POSES["scaled"]), CALIBRATION)


def test_rounding_of_the_wire_is_rigid():
    assert is_rigid(poses().astype(np.float32).astype(float)).all()
    assert not is_rigid(np.full((1, 4, 4), np.nan)).any()


@pytest.mark.parametrize("pixel_mm", [0.0002, 100.0])
def test_pixels_of_the_sweep_itself_that_cannot_be_are_refused(pixel_mm):
    with pytest.raises(SweepError, match=r"ImageToReference .*makes pixels of"):
        place_frames(tracked(ProbeToReference=poses(), ImageToProbe=np.diag([pixel_mm] * 3 + [1])))


def test_left_handed_calibration_is_legal_and_told():
    placed = place_frames(
        tracked(ProbeToReference=poses()), ProbeCalibration(IMAGE_TO_PROBE @ np.diag([1, 1, -1.0, 1]))
    )
    assert any("left-handed" in note for note in placed.notes)


def test_depth_that_was_changed_within_a_sweep_is_told():
    sizes = np.stack([np.diag([size, size, size, 1]) for size in (0.1, 0.1, 0.2, 0.2)])
    placed = place_frames(tracked(ProbeToReference=poses(), ImageToTransd=sizes), chained(TransdToProbe=shifted(1)))
    assert any("changes from frame to frame, from 0.1 to 0.2 mm" in note for note in placed.notes)


def test_probe_that_did_not_move_is_told():
    placed = place_frames(tracked(ProbeToReference=poses()[:1]), CALIBRATION)
    assert any("all 4 frames lie in one place" in note for note in placed.notes)


def test_poses_that_nobody_could_assign_matter_only_on_the_way():
    sweep = tracked(ProbeToReference=poses(), StylusToReference=poses())
    undecided = Pairing("", "60 frames share 1 timestamp, and their arrival was not recorded")
    placed = place_frames(replace(sweep, pairings={"StylusToReference": undecided}), CALIBRATION)
    assert placed.accepted.all()
    with pytest.raises(SweepError, match=r"which pose of ProbeToReference .* not recorded; .*--pair"):
        place_frames(replace(sweep, pairings={"ProbeToReference": undecided}), CALIBRATION)
