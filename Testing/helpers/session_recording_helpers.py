"""Results without a network, and a session that is recorded in a process of its own, which can be killed.

python -m helpers.session_recording_helpers PORT OUT LIMIT_BYTES

The process records the link, places seeds and makes results until it is killed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.core.crop import extract_crop
from CRLMSegmentationLib.core.postprocessing import lesion_from_probability
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, volume_of
from CRLMSegmentationLib.igtl.packing import HEADER_BYTES, pack
from CRLMSegmentationLib.recording.session_events import EVENTS_FILE, SessionEvent, read_events
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.segmentation.results import LesionResult, Options, Request

OBLIQUE = np.array([[0.8, -0.48, 0.2, 12.5], [0.6, 0.64, -0.4, -30.25], [0, 0.6, 1.2, 71.0], [0, 0, 0, 1]])
OBLIQUE[:3, 2] = (
    -1.4 * np.cross(OBLIQUE[:3, 0], OBLIQUE[:3, 1]) / np.linalg.norm(np.cross(OBLIQUE[:3, 0], OBLIQUE[:3, 1]))
)
"""Left-handed, oblique and anisotropic."""
CENTER_KJI = (12, 14, 16)


def ball(device: str = "recvol_Reference", timestamp_s: float = 100.0, number: int = 0, voxels: int = 28) -> Volume:
    """A dark ball in bright speckle; another number gives other voxels."""
    k, j, i = np.indices((voxels, voxels + 2, voxels + 4))
    inside = (k - CENTER_KJI[0]) ** 2 + (j - CENTER_KJI[1]) ** 2 + (i - CENTER_KJI[2]) ** 2 < 36
    array = np.where(inside, 40, 120) + np.random.default_rng(number).integers(-20, 20, inside.shape)
    return Volume(array.astype(np.uint8), OBLIQUE, device, timestamp_s)


def seed_in(volume: Volume) -> np.ndarray:
    return volume.ijk_to_ras[:3, :3] @ CENTER_KJI[::-1] + volume.ijk_to_ras[:3, 3]


def result_in(volume: Volume, lesion: str = "Tumour 1", threshold: float = 80) -> LesionResult:
    """What a session answers when dark voxels are tumour; a threshold of 0 finds nothing."""
    seed = seed_in(volume)
    crop = extract_crop(volume, seed, 30.0, 1.0)
    mask = lesion_from_probability((crop.array < threshold).astype(np.float32), crop, volume)
    timings_s = {"crop": 0.05, "preprocess": 0.1, "inference": 0.2, "postprocess": 0.3}
    request = Request(lesion, tuple(seed.tolist()), volume.identity, Options(30.0, mirroring=True))
    return LesionResult(request, volume, mask, timings_s, "stub", "dark", "0" * 64, time.monotonic())


def feed(recorder: SessionRecorder, message: object) -> None:
    """Hand a message to `on_message`, as a client does."""
    data = memoryview(pack(message, 2))
    recorder.on_message(data[:HEADER_BYTES], data[HEADER_BYTES:])


def events_in(folder: Path, kind: str | None = None) -> list[SessionEvent]:
    return [event for event in read_events(folder / EVENTS_FILE) if kind in (None, event.event)]


def main(port: int, out: str, limit_bytes: int) -> None:
    """Prints what it has recorded, after each turn."""
    if limit_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
    recorder = SessionRecorder(out)
    recorder.use_link("127.0.0.1", port)
    loaded, newest, messages = ball("loaded by hand"), None, 0
    with IgtlClient("127.0.0.1", port, on_message=recorder.on_message) as client:
        for turn in range(100_000):
            for message in client.wait(0.02):
                messages += 1
                if isinstance(message, ImageMessage):
                    newest = volume_of(message)
            recorder.seed(f"Tumour {turn % 3}", (1.0 * turn, 2.0, 3.0), newest)
            recorder.result(result_in(loaded, f"Tumour {turn % 3}"))
            if newest is not None:
                recorder.result(result_at(newest))
            counts = {"results": recorder.results, "events": recorder.events, "messages": messages}
            print(json.dumps({**counts, "problem": recorder.problem}), flush=True)
            if not recorder.is_recording:
                return


def result_at(volume: Volume) -> LesionResult:
    """A result anywhere in a volume of whatever content."""
    seed = volume.center_ras_mm
    crop = extract_crop(volume, seed, 30.0, 1.0)
    far_mm = np.linalg.norm(np.indices(crop.array.shape).T - np.array(crop.array.shape) / 2, axis=-1).T
    mask = lesion_from_probability((far_mm < 6).astype(np.float32), crop, volume)
    request = Request("live", tuple(seed.tolist()), volume.identity, Options(30.0))
    return LesionResult(request, volume, mask, {}, "stub", "dark", "0" * 64, time.monotonic())


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
