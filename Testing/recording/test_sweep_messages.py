"""A tracked sweep as PLUS would have sent it."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError
from CRLMSegmentationLib.igtl.messages import ImageMessage, TransformMessage
from CRLMSegmentationLib.recording.sweep_messages import RecordedSweep, messages_of_sweep
from CRLMSegmentationLib.tracking.sweeps.sequence import TransformTrack
from helpers.tiny_sweeps import START_S, tiny_sequence, tiny_sweep


def test_each_frame_is_sent_after_its_transforms_at_its_time() -> None:
    timed = messages_of_sweep(tiny_sweep(2))
    assert [t.device for t in timed] == [
        "ProbeToTracker",
        "ReferenceToTracker",
        "StylusToTracker",
        "Image_Reference",
    ] * 2
    assert [round(t.offset_s, 3) for t in timed] == [0] * 4 + [0.05] * 4
    assert {t.load().timestamp_s for t in timed[:4]} == {START_S}


def test_image_lies_where_the_chain_of_transforms_puts_it() -> None:
    image = messages_of_sweep(tiny_sweep())[4 * 3 + 3].load()
    assert isinstance(image, ImageMessage)
    assert image.array.shape == (1, 6, 8)
    assert (image.array == 40).all()
    expected = np.eye(4)
    expected[2, 3] = 3
    np.testing.assert_allclose(image.ijk_to_ras, expected, atol=1e-12)


def test_image_carries_the_fields_of_its_frame() -> None:
    image = messages_of_sweep(tiny_sweep(bad={"StylusToTracker": (0, "INVALID")}))[3].load()
    assert image.metadata["ImageStatus"] == "OK"
    assert image.metadata["StylusToTrackerTransformStatus"] == "INVALID"
    assert image.metadata["ReferenceToTrackerTransform"].split()[3] == "100"


@pytest.mark.parametrize("what", ["image", "ProbeToTracker", "ReferenceToTracker"])
@pytest.mark.parametrize("status", ["INVALID", "MISSING"])
def test_image_without_a_place_or_content_is_left_out_and_its_transforms_are_sent(what: str, status: str) -> None:
    timed = messages_of_sweep(tiny_sweep(5, {what: (2, status)}))
    assert sum(t.device == "Image_Reference" for t in timed) == 4
    sent = [t.load() for t in timed if t.kind is TransformMessage]
    assert len(sent) == 15
    assert [m.status for m in sent if m.device == what] == (
        ["OK"] * 2 + [status] + ["OK"] * 2 if what != "image" else []
    )


def test_stylus_that_is_lost_does_not_matter_to_the_image() -> None:
    timed = messages_of_sweep(tiny_sweep(5, {"StylusToTracker": (2, "INVALID")}))
    assert sum(t.device == "Image_Reference" for t in timed) == 5


def test_without_a_calibration_images_are_sent_in_pixels_and_say_so() -> None:
    image = messages_of_sweep(RecordedSweep(tiny_sequence()))[3].load()
    assert image.device == "Image_Image"
    np.testing.assert_array_equal(image.ijk_to_ras, np.eye(4))


def test_sweep_without_a_reference_is_sent_in_the_frame_of_the_tracker() -> None:
    sweep = tiny_sweep()
    del sweep.sequence.transforms["ReferenceToTracker"]
    image = messages_of_sweep(sweep)[2].load()
    assert image.device == "Image_Tracker"
    assert image.ijk_to_ras[0, 3] == 100


def test_transform_that_cannot_be_is_told_before_anything_is_sent() -> None:
    sweep = tiny_sweep(3)
    broken = sweep.sequence.transforms["StylusToTracker"].matrices.copy()
    broken[1, 0, 0] = np.nan
    sweep.sequence.transforms["StylusToTracker"] = TransformTrack(broken, ("OK",) * 3)
    with pytest.raises(CaseError, match="StylusToTracker of frame 1"):
        messages_of_sweep(sweep)
