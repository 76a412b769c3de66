"""Which of several image streams is the ultrasound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.recording.image_stream import ImageStream, choose_stream, image_frame_of
from CRLMSegmentationLib.recording.recorded_sweep import sweep_of_messages
from CRLMSegmentationLib.tracking.sweeps.placement import place_frames
from helpers.frames_and_poses import CASE, COUNT, PIXELS_OF_1_MM, feed, image, timed, true_s

NUMBERS = ("ImageToProbe",)
CENTRED = np.array([[1, 0, 0, -1.5], [0, 1, 0, -1], [0, 0, 1, 0], [0, 0, 0, 1.0]])
TRACKED = ("ProbeToReference",)


def chosen(devices: dict[str, int], names=TRACKED, calibrated=NUMBERS, device=None) -> str:
    streams = [ImageStream(name, count) for name, count in devices.items()]
    return choose_stream(streams, {*names, *calibrated}, "Reference", device, calibrated)[0].device


@pytest.mark.parametrize(
    ("devices", "names", "calibrated", "right"),
    [
        ({"Image": 10, "Camera": 900}, TRACKED, NUMBERS, "Image"),
        ({"Image_Reference": 10, "Camera_Camera": 900}, TRACKED, (), "Image_Reference"),
        ({"BMode": 10, "Elasto": 900}, TRACKED, NUMBERS, "BMode"),
        ({"BMode_Reference": 10, "Elasto_Reference": 10}, TRACKED, (), "BMode_Reference"),
        ({"Ultrasound": 10, "Laparoscope": 900}, TRACKED, NUMBERS, "Ultrasound"),
        ({"Left": 10, "Right": 900}, TRACKED, ("LeftToProbe",), "Left"),
        ({"Image_Reference": 10, "Image_Tracker": 10}, TRACKED, (), "Image_Reference"),
        ({"Scan": 5}, TRACKED, NUMBERS, "Scan"),
    ],
)
def test_ultrasound_is_found_by_calibration_and_name_and_never_by_the_number_of_frames(
    devices, names, calibrated, right
):
    assert chosen(devices, names, calibrated) == right


@pytest.mark.parametrize(
    "devices",
    [
        {"Left": 10, "Right": 900},
        {"BMode": 5, "Ultrasound": 9},
        {"Doppler": 5, "Elasto": 5},
        {"Thermal": 5, "Webcam": 9},
        {"Linear": 10, "WebCam": 900},
    ],
)
def test_where_nothing_tells_the_candidates_and_the_option_are_named(devices):
    with pytest.raises(SweepError, match="choose one with --device") as caught:
        chosen(devices)
    for name, count in devices.items():
        assert f"'{name}' ({count} images)" in str(caught.value)
        assert chosen(devices, device=name) == name


def test_device_that_sent_nothing_is_refused_with_those_that_did():
    with pytest.raises(SweepError, match="--device Probe: no images came from it, but from 'Image'"):
        chosen({"Image": 3}, device="Probe")


def test_name_of_the_images_is_their_frame_only_where_a_calibration_starts_at_it():
    stream = ImageStream("Ultrasound_Reference", 3)
    assert (stream.base, stream.frame) == ("Ultrasound", "Reference")
    assert image_frame_of(stream, ["ImageToUltrasound"]) == "Image"
    assert image_frame_of(stream, ["UltrasoundToProbe"]) == "Ultrasound"
    assert ImageStream("Image_Image", 1).frame is None
    assert ImageStream("US_US", 1).frame is None


@pytest.mark.parametrize("device", ["US_Live", "Clarius_Scan", "B_Mode", "US_Tracker"])
def test_underscore_in_a_name_tells_of_no_frame_that_nothing_knows(device):
    """Senders without a frame give their images the identity, of a corner half a picture aside."""
    messages = [
        timed(replace(m.load(), device=device, ijk_to_ras=CENTRED), m.arrived_s) if m.device == "Image" else m
        for m in feed(true_s)
    ]
    sequence = sweep_of_messages(CASE, messages, calibration=PIXELS_OF_1_MM)
    expected = place_frames(sweep_of_messages(CASE, feed(true_s), calibration=PIXELS_OF_1_MM), PIXELS_OF_1_MM)
    np.testing.assert_allclose(place_frames(sequence, PIXELS_OF_1_MM).matrices, expected.matrices)


def test_frame_behind_a_name_counts_where_a_transform_or_the_goal_names_it():
    known = frozenset({"Probe", "Reference"})
    assert [ImageStream(name, 1, known).frame for name in ("US_Live", "US_Probe")] == [None, "Probe"]
    assert [ImageStream(name, 1, known).base for name in ("US_Live", "US_Probe")] == ["US_Live", "US"]


def test_camera_with_more_frames_is_not_reconstructed_and_named():
    camera = [timed(image(200, true_s(n) + 0.02, "Camera"), true_s(n) + 0.02) for n in range(COUNT - 1)] * 2
    messages = sorted([*feed(true_s), *camera], key=lambda m: m.arrived_s)
    sequence = sweep_of_messages(CASE, messages, calibration=PIXELS_OF_1_MM)
    assert (sequence.frames[:, 0, 0] == np.arange(COUNT)).all()
    assert sequence.notes == (
        "the ultrasound is 'Image' (60 images): the only images that are calibrated; not taken: 'Camera' (118 images)",
    )
    assert (sweep_of_messages(CASE, messages, "Camera").frames == 200).all()
