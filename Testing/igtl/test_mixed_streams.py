"""Two streams under one name are recognised; a fast hand, noise, glitches and real recordings are none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import STATUS_AMBIGUOUS, ImageMessage, TransformMessage
from CRLMSegmentationLib.igtl.mixed_streams import HOLD, MixedImages, MixedPoses, without_mixed
from helpers.paths import SHARED_DATA

DATA = SHARED_DATA
Track = Callable[[int], np.ndarray]
START_S = 1_700_000_000.0


def at(x: float = 0.0, y: float = 0.0, z: float = 0.0, turned_deg: float = 0.0) -> np.ndarray:
    matrix = np.eye(4)
    c, s = np.cos(np.radians(turned_deg)), np.sin(np.radians(turned_deg))
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:3, 3] = x, y, z
    return matrix


def poses(places: Iterator[np.ndarray] | list, hz: float = 40.0, status: str = "OK", has_time: bool = True) -> list:
    metadata = {"TransformStatus": status}
    times_s = (START_S + n / hz for n in range(10**6))
    return [TransformMessage("T", t if has_time else 0.0, m, metadata) for t, m in zip(times_s, places)]


def recognised_after(messages: list[TransformMessage], hz: float = 40.0) -> int | None:
    """How many poses it took; None when it was not recognised. They arrive at their pace."""
    mixed = MixedPoses()
    for number, message in enumerate(messages, 1):
        if mixed.take(message, number / hz):
            return number
    return None


def interleaved(*tracks: Track, count: int = 200) -> list[np.ndarray]:
    return [track(n) for n, track in zip(range(count), cycle(tracks))]


@pytest.mark.parametrize("hz", [10.0, 20.0, 40.0, 120.0])
@pytest.mark.parametrize("apart_mm", [8.0, 30.0, 500.0])
def test_tools_at_two_places_are_recognised(apart_mm: float, hz: float) -> None:
    messages = poses(interleaved(lambda n: at(0.1 * n), lambda n: at(apart_mm + 0.1 * n)), hz)
    assert recognised_after(messages, hz) <= 30


@pytest.mark.parametrize("apart_mm", [200.0, 500.0])
def test_tools_far_apart_are_recognised_at_once(apart_mm: float) -> None:
    messages = poses(interleaved(lambda n: at(n / 4, 2, 3), lambda n: at(apart_mm - n / 4, 2, 3)))
    assert recognised_after(messages) <= 8


def test_tools_whose_poses_have_the_same_time_are_recognised() -> None:
    """As PLUS sends them: all transforms of a frame at once."""
    places = interleaved(lambda n: at(n / 10), lambda n: at(40 + n / 10))
    messages = [TransformMessage("T", START_S + n // 2 / 20, m) for n, m in enumerate(places)]
    mixed = MixedPoses()
    assert any(mixed.take(message, n // 2 / 20) for n, message in enumerate(messages[:30]))


def test_tools_without_a_time_are_recognised() -> None:
    assert recognised_after(poses(interleaved(lambda n: at(), lambda n: at(100)), has_time=False)) <= 8


def test_senders_with_clocks_of_their_own_are_recognised() -> None:
    places = interleaved(lambda n: at(), lambda n: at(100))
    messages = [TransformMessage("T", START_S + 1000 * (n % 2) + n / 40, m) for n, m in enumerate(places)]
    assert recognised_after(messages) <= 8


def test_tools_that_differ_by_their_direction_only_are_recognised() -> None:
    messages = poses(interleaved(lambda n: at(n / 10), lambda n: at(n / 10, turned_deg=90)))
    assert recognised_after(messages) <= 30


@pytest.mark.parametrize("pattern", ["AAB", "AAAB", "AABAB", "ABC"])
def test_tools_of_different_rates_and_three_tools_are_recognised(pattern: str) -> None:
    places = {"A": at(), "B": at(300), "C": at(0, 300)}
    assert recognised_after(poses(list(islice((places[c] for c in cycle(pattern)), 100)))) <= 30


def test_tool_that_is_tracked_and_one_that_is_lost_are_recognised() -> None:
    messages = [
        TransformMessage("T", START_S + n / 40, at(n / 10), {"TransformStatus": ("OK", "MISSING")[n % 2]})
        for n in range(100)
    ]
    assert recognised_after(messages) <= 30


def test_places_are_told_by_how_far_they_are_apart() -> None:
    mixed = MixedPoses()
    for n, message in enumerate(poses(interleaved(lambda n: at(), lambda n: at(120)))):
        mixed.take(message, n / 40)
    assert mixed.apart == pytest.approx(120)


def test_device_is_trusted_again_when_one_of_the_two_has_gone() -> None:
    mixed = MixedPoses()
    now_s = 0.0
    for message in poses(interleaved(lambda n: at(), lambda n: at(120), count=60)):
        now_s += 1 / 40
        mixed.take(message, now_s)
    states = []
    for n in range(4 * HOLD):
        now_s += 1 / 40
        states.append(mixed.take(TransformMessage("T", START_S + 100 + n / 40, at(n / 10)), now_s))
    assert states[0]
    assert not states[-1]


RNG = np.random.default_rng(5)


def stroke(mm_s: float, length_mm: float, hz: float) -> Track:
    """There and back at one speed, turning at once."""
    step = mm_s / hz

    def place(n: int) -> np.ndarray:
        along = (n * step) % (2 * length_mm)
        return at(along if along < length_mm else 2 * length_mm - along)

    return place


def wave(mm: float, wave_hz: float, hz: float) -> Track:
    return lambda n: at(mm * np.sin(2 * np.pi * wave_hz * n / hz))


@pytest.mark.parametrize("hz", [10.0, 20.0, 60.0])
@pytest.mark.parametrize("mm_s", [50.0, 300.0, 900.0])
@pytest.mark.parametrize("poses_each_way", [4, 7, 30])
def test_fast_strokes_there_and_back_are_one_tool(poses_each_way: int, mm_s: float, hz: float) -> None:
    path = stroke(mm_s, poses_each_way * mm_s / hz, hz)
    assert recognised_after(poses([path(n) for n in range(600)], hz), hz) is None


@pytest.mark.parametrize("hz", [20.0, 40.0, 60.0])
@pytest.mark.parametrize(
    ("mm", "wave_hz"), [(1.0, 10.0), (2.0, 8.0), (20.0, 3.0), (50.0, 2.0), (100.0, 1.0), (30.0, 5.0)]
)
def test_tremor_and_waving_are_one_tool(mm: float, wave_hz: float, hz: float) -> None:
    assert recognised_after(poses([wave(mm, wave_hz, hz)(n) for n in range(600)], hz), hz) is None


@pytest.mark.parametrize("noise_mm", [0.0, 0.9, 3.0, 6.0])
@pytest.mark.parametrize("axes", [1, 3])
def test_noise_at_rest_is_one_tool(noise_mm: float, axes: int) -> None:
    jitter = np.zeros((3000, 3))
    jitter[:, :axes] = RNG.normal(0, noise_mm, (3000, axes))
    assert recognised_after(poses([at(*row) for row in jitter])) is None


def test_single_glitches_and_jumps_are_one_tool() -> None:
    places = [at(n / 5) for n in range(2000)]
    for n in RNG.integers(0, 2000, 150):
        places[n] = at(*RNG.normal(0, 200, 3))
    places[1000:] = [at(400 + n / 5) for n in range(1000)]
    assert recognised_after(poses(places)) is None


def test_random_walk_of_a_fast_hand_is_one_tool() -> None:
    velocity = RNG.normal(0, 1, (3000, 3)).cumsum(axis=0)
    velocity -= velocity.mean(axis=0)
    walk = (velocity / np.abs(velocity).max() * 900 / 40).cumsum(axis=0)
    assert recognised_after(poses([at(*row) for row in walk])) is None


def test_tool_that_is_seen_and_lost_at_random_is_one_tool() -> None:
    seen = RNG.random(2000) < 0.5
    messages = [
        TransformMessage("T", START_S + n / 40, at(n / 10), {"TransformStatus": "OK" if ok else "MISSING"})
        for n, ok in enumerate(seen)
    ]
    assert recognised_after(messages) is None


@pytest.mark.parametrize("tick_s", [0.0156, 0.075, 1.0])
def test_clock_of_the_sender_that_stands_still_at_times_is_one_tool(tick_s: float) -> None:
    places = [stroke(400, 120, 40)(n) for n in range(800)]
    messages = [TransformMessage("T", START_S + n / 40 // tick_s * tick_s, m) for n, m in enumerate(places)]
    assert recognised_after(messages) is None


def test_poses_that_come_in_bursts_are_one_tool() -> None:
    mixed = MixedPoses()
    places = [stroke(600, 150, 40)(n) for n in range(800)]
    assert not any(mixed.take(message, n // 10 / 4) for n, message in enumerate(poses(places)))


def test_pose_that_is_sent_again_and_again_is_one_tool() -> None:
    messages = [message for message in poses([at(n / 10) for n in range(300)]) for _ in range(3)]
    assert recognised_after(messages, 120) is None


@pytest.mark.parametrize("name", ["SpinePhantomFreehand", "NwirePhantomFreehand"])
def test_tools_of_real_recordings_are_one_each_and_two_of_them_are_two(name: str) -> None:
    path = DATA / f"{name}.igs.mha"
    if not path.is_file():
        pytest.skip("the recordings of PLUS are not here")
    tracks = transforms_of(path)
    assert tracks
    for messages in tracks.values():
        times_s = [message.timestamp_s for message in messages]
        mixed = MixedPoses()
        assert not any(mixed.take(message, t) for message, t in zip(messages, times_s))
    probe, reference = (tracks[key] for key in ("ProbeToTracker", "ReferenceToTracker"))
    both = [message for pair in zip(probe, reference) for message in pair]
    assert without_mixed(both)[0].status == STATUS_AMBIGUOUS


def transforms_of(path: Path) -> dict[str, list[TransformMessage]]:
    """Read from the header of a sequence by hand."""
    fields: dict[int, dict[str, str]] = {}
    with path.open("rb") as stream:
        for line in stream:
            key, _, value = line.decode("latin-1").partition(" = ")
            if key.startswith("ElementDataFile"):
                break
            if key.startswith("Seq_Frame"):
                fields.setdefault(int(key[9:13]), {})[key[14:]] = value.strip()
    tracks: dict[str, list[TransformMessage]] = {}
    for number in sorted(fields):
        for key, value in fields[number].items():
            if key.endswith("Transform"):
                matrix = np.array(value.split(), float).reshape(4, 4)
                metadata = {"TransformStatus": fields[number].get(f"{key}Status", "OK")}
                name = key.removesuffix("Transform")
                message = TransformMessage(name, float(fields[number]["Timestamp"]), matrix, metadata)
                tracks.setdefault(name, []).append(message)
    return tracks


def test_recorded_poses_of_two_tools_under_one_name_are_all_withheld() -> None:
    mixed = without_mixed(poses(interleaved(lambda n: at(n / 10), lambda n: at(120))))
    assert {pose.status for pose in mixed} == {STATUS_AMBIGUOUS}
    alone = poses([at(n / 10) for n in range(200)])
    assert without_mixed(alone) == alone


def picture(shape: tuple[int, ...] = (1, 6, 8), spacing: float = 1.0, x: float = 0.0, dtype: type = np.uint8):
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[0, 3] = x
    return ImageMessage("I", 1.0, np.zeros(shape, dtype), matrix)


def image_recognised_after(images: list[ImageMessage]) -> int | None:
    mixed = MixedImages()
    return next((number for number, image in enumerate(images, 1) if mixed.take(image)), None)


@pytest.mark.parametrize(
    "other",
    [picture((1, 8, 8)), picture(spacing=0.5), picture(dtype=np.uint16), picture((1, 6, 8, 3))],
    ids=["size", "spacing", "type", "colour"],
)
@pytest.mark.parametrize("pattern", ["AB", "AAB"])
def test_two_pictures_in_turns_are_recognised(other: ImageMessage, pattern: str) -> None:
    images = [{"A": picture(), "B": other}[letter] for letter in islice(cycle(pattern), 20)]
    assert image_recognised_after(images) <= 8


def test_two_volumes_at_two_places_in_turns_are_recognised() -> None:
    images = [picture((4, 6, 8), x=50.0 * (n % 2)) for n in range(20)]
    assert image_recognised_after(images) == 4


def test_picture_that_moves_with_its_probe_and_depth_that_is_changed_are_one_stream() -> None:
    moving = [picture(x=10 * np.sin(n / 3)) for n in range(100)]
    assert image_recognised_after(moving) is None
    depths = [picture(spacing=1.0 + 0.5 * (n // 20 % 2)) for n in range(200)]
    assert image_recognised_after(depths) is None


def test_image_that_comes_again_is_told_from_the_next_one_of_a_second_stream() -> None:
    mixed = MixedImages()
    first, second = picture((4, 6, 8)), replace(picture((4, 6, 9)), timestamp_s=6.0)
    for image in (first, second):
        assert not mixed.repeats(image)
        mixed.take(image)
    assert mixed.repeats(first)
    assert not mixed.repeats(second), "the same once more"
    assert not mixed.repeats(replace(first, timestamp_s=1.1)), "the next one, by a clock of its own"
    assert not mixed.repeats(replace(first, ijk_to_ras=second.ijk_to_ras * 2)), "at another place"
    assert not mixed.repeats(replace(first, timestamp_s=0.0)), "nobody knows when"


def test_volume_that_grows_while_it_is_swept_is_one_stream() -> None:
    growing = [picture((4 + n // 2, 6, 8 + n), x=-n) for n in range(50)]
    assert image_recognised_after(growing) is None
