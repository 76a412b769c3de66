"""Description of a volume, a segmentation, a tracked sweep or a case."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..core.errors import CaseError, SweepError, os_reason
from ..core.field_of_view import is_uniform
from ..core.geometry import spacing_of
from ..core.json_files import Damage
from ..core.text import bounded, printable
from ..core.volume import Volume
from ..core.volume_files import StoredSegmentation, is_segmentation, read_segmentation, volume_suffix
from ..igtl.messages import ImageMessage
from ..recording.case import Case
from ..recording.recorded_sweep import pairings_in, ultrasound_in
from ..recording.session_events import read_events
from ..recording.session_results import recorded_results
from ..recording.sweep_messages import RecordedSweep
from ..recording.timed_message import TimedMessage
from ..recording.timeline import lines_file_of, load_source, timeline
from ..tracking.sweeps.colours import colour_notes
from ..tracking.sweeps.placement import REFERENCE, TRACKER, place_frames
from ..tracking.sweeps.sequence import TrackedSequence, time_faults
from ..tracking.sweeps.sequence_io import is_sequence

Found = dict[str, object]
"""Plain data, as JSON has it."""
COMMAND = re.compile(r"^(CMD|ACK)_\d+$")
"""Each command to PLUS has a device of its own."""
MAX_LISTED = 64
"""Types and devices that are listed; a peer chooses their names."""


def describe_source(path: Path) -> Found:
    """Describe a file or folder as plain data: `kind` ("volume", "segmentation", "sweep", "case") and its content.

    Texts from the file are cut and printable, lists and objects are shortened, see `core.text.bounded`.

    Raises:
        CaseError, SweepError, VolumeError, GeometryError: none of them, or damaged.
    """
    if volume_suffix(path) and path.is_file() and not is_sequence(path) and is_segmentation(path):
        return _bounded("segmentation", _segmentation(read_segmentation(path)))
    source = load_source(path)
    if isinstance(source, Volume):
        return _bounded("volume", _volume(source))
    if isinstance(source, RecordedSweep):
        return _bounded("sweep", _sweep(source.sequence))
    return _bounded("case", _case(source))


def _bounded(kind: str, found: Found) -> Found:
    shortened: Found = bounded({"kind": kind, **found})
    return shortened


def lines_of(found: Mapping[str, object], indent: str = "") -> Iterator[str]:
    """Return a description as lines for a terminal."""
    for name, value in found.items():
        title = name.replace("_", " ") if name.islower() else printable(name)  # a device is called what it is called
        if isinstance(value, dict):
            yield f"{indent}{title}:"
            yield from lines_of(value, indent + "  ")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for number, item in enumerate(value, 1):
                yield f"{indent}{title.removesuffix('s')} {number}:"
                yield from lines_of(item, indent + "  ")
        else:
            yield f"{indent}{title}: {_text(value)}"


def _text(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return " x ".join(_text(item) for item in value) or "none"
    return f"{value:g}" if isinstance(value, float) else "none" if value is None else printable(str(value))


def _volume(volume: Volume) -> Found:
    axes = volume.ijk_to_ras[:3, :3] / volume.spacing_mm
    return {
        "size": volume.shape_ijk.tolist(),
        "spacing_mm": _rounded(volume.spacing_mm),
        "extent_mm": _rounded(volume.shape_ijk * volume.spacing_mm),
        "center_ras_mm": ", ".join(f"{x:.1f}" for x in volume.center_ras_mm),
        "type": str(volume.array.dtype),
        "values": f"{volume.array.min():g} to {volume.array.max():g}",
        "swept_percent": round(100 * float(volume.insonified_in().mean()), 1),
        "field_of_view": "; ".join(_field_of_view_warnings(volume)) or "recognised: 0 fills what was not imaged",
        "axes": _axes(axes),
        "handedness": "right" if np.linalg.det(axes) > 0 else "left",
    }


def _segmentation(stored: StoredSegmentation) -> Found:
    voxel_ml = abs(float(np.linalg.det(stored.ijk_to_ras[:3, :3]))) / 1000
    return {
        "size": list(stored.layers.shape[:0:-1]),
        "spacing_mm": _rounded(spacing_of(stored.ijk_to_ras)),
        "layers": len(stored.layers),
        "segments": [
            {
                "name": segment.name,
                "layer": segment.layer,
                "label": segment.label_value,
                "volume_ml": round(float(stored.mask_of(segment).sum()) * voxel_ml, 2),
            }
            for segment in stored.segments
        ],
    }


def _field_of_view_warnings(volume: Volume) -> tuple[str, ...]:
    if is_uniform(volume.array):
        return (f"every voxel holds the same value, {volume.array.flat[0]:g}: nothing was imaged",)
    return volume.field_of_view_warnings


def _axes(axes: np.ndarray) -> str:
    """Return the anatomical directions of i, j and k, such as "L, P, S"."""
    if not np.allclose(np.abs(axes).max(axis=0), 1, atol=1e-3):
        return "oblique"
    names = [("RL", "AP", "SI")[int(np.abs(axis).argmax())] for axis in axes.T]
    return ", ".join(name[0] if axis.sum() > 0 else name[1] for name, axis in zip(names, axes.T))


def _sweep(sequence: TrackedSequence) -> Found:
    seconds, faults = float(np.ptp(sequence.timestamps_s)), time_faults(sequence.timestamps_s)
    rows, columns = sequence.frames.shape[1:3]
    return {
        "frames": len(sequence),
        "size": [columns, rows],
        "components": sequence.frames.shape[3] if sequence.frames.ndim == 4 else 1,
        "type": str(sequence.frames.dtype),
        "orientation": sequence.orientation or "not said",
        "seconds": round(seconds, 2),
        "frames_per_second": round((len(sequence) - 1) / seconds, 1) if seconds and not faults else None,
        "times": faults or "each frame has its own",
        "image_status": _statuses(sequence.image_statuses),
        "transforms": {name: _statuses(track.statuses) for name, track in sorted(sequence.transforms.items())},
        **_place(sequence),
        "notes": [*sequence.notes, *colour_notes(sequence.frames)],
    }


def _place(sequence: TrackedSequence) -> Found:
    """Return whether the sweep has all that its reconstruction needs, or what it lacks."""
    refusal = ""
    for frame in (REFERENCE, TRACKER):
        try:
            poses = place_frames(sequence, None, frame)
        except SweepError as error:
            refusal = refusal or str(error)
            continue
        way = {"frame": poses.frame, "pixels_in": poses.pixels.name, "way": poses.way, "frames": str(poses)}
        return {"has_calibration": True, "placed": way}
    return {"has_calibration": False, "not_placed": refusal}


def _case(case: Case) -> Found:
    damage = Damage()
    messages = timeline(case, damage)
    return {
        "case_id": case.case_id,
        "source": {name: value for name, value in case.source.items() if value not in (None, {}, "")},
        "frame": case.frame,
        "seconds": round(messages[-1].offset_s, 2) if messages else 0.0,
        "messages": {device: _stream(stream) for device, stream in _streams(messages).items()},
        **_types(case),
        **_sweep_in(case, messages),
        "volumes": len(case.volumes),
        "lesions": [_lesion(lesion.name, lesion.seed_ras_mm, lesion.about) for lesion in case.lesions],
        "has_truth": case.truth is not None,
        **({"left_out": damage.sentence(lines_file_of(case))} if damage.is_any else {}),
        **_session(case),
    }


def _sweep_in(case: Case, messages: Sequence[TimedMessage]) -> Found:
    """Describe the 2D images of a recording: which are the ultrasound, and how poses are paired with them."""
    if not any(m.kind is ImageMessage and not m.is_volume for m in messages):
        return {}
    try:
        stream, why = ultrasound_in(case, messages)
    except SweepError as error:
        return {"sweep": {"not_decided": str(error)}}
    pairings = {name: str(pairing) for name, pairing in pairings_in(messages, stream.device).items()}
    return {"sweep": {"ultrasound": f"{stream}: {why}", "frames_and_poses": pairings}}


def _types(case: Case) -> Found:
    """Count the message types of a recording, and those that are not understood."""
    if case.recording is None:
        return {}
    from ..igtl.packing import is_known
    from ..recording.recorded_messages import message_log_of

    entries = message_log_of(case).entries
    types = Counter(entry.type for entry in entries)
    unknown = Counter(f"{entry.type} '{entry.device}'" for entry in entries if not is_known(entry.type))
    return {"types": _most_common(types), **({"not_understood": _most_common(unknown)} if unknown else {})}


def _most_common(counts: Counter[str]) -> dict[str, int]:
    listed = dict(counts.most_common(MAX_LISTED))
    others = sum(counts.values()) - sum(listed.values())
    return {**listed, "others": others} if others else listed


def _session(case: Case) -> Found:
    """Describe the session that a case recorded, if it did."""
    if case.events is None:
        return {}
    damage = Damage()  # of the results, which are read from the same lines
    try:
        events = read_events(case.path_of(case.events), Damage())
    except OSError as error:
        raise CaseError(f"{case.events} of {case.case_id} cannot be read: {os_reason(error)}; copy it again") from error
    minutes = max((event.elapsed_s for event in events), default=0.0) / 60
    results = len(recorded_results(case, damage))
    told = {"left_out": damage.sentence(case.events)} if damage.is_any else {}
    return {"session": {"minutes": round(minutes, 1), "events": len(events), "results": results, **told}}


def _lesion(name: str, seed_ras_mm: Sequence[float], about: Mapping[str, object]) -> Found:
    known = {"name": name, "seed_ras_mm": ", ".join(f"{x:.1f}" for x in seed_ras_mm)}
    return {**known, **{key: value for key, value in about.items() if key not in known}}


def _streams(messages: Sequence[TimedMessage]) -> dict[str, list[TimedMessage]]:
    streams: dict[str, list[TimedMessage]] = {}
    for message in messages:
        streams.setdefault(COMMAND.sub(r"\1_…", message.device), []).append(message)
    return dict(sorted(streams.items()))


def _stream(messages: Sequence[TimedMessage]) -> str:
    """Describe the messages of a device, each kind by itself."""
    kinds: dict[str, list[TimedMessage]] = {}
    for message in messages:
        kinds.setdefault(_kind(message), []).append(message)
    return "; ".join(_rate(kind, of_kind) for kind, of_kind in kinds.items())


def _kind(message: TimedMessage) -> str:
    if message.kind is ImageMessage:
        return "volume" if message.is_volume else "2D image"
    return message.kind.__name__.removesuffix("Message").lower()


def _rate(kind: str, messages: Sequence[TimedMessage]) -> str:
    seconds = messages[-1].offset_s - messages[0].offset_s
    rate = f", {(len(messages) - 1) / seconds:.1f} a second" if seconds > 0 else ""
    return f"{len(messages)} x {kind}{rate}"


def _statuses(statuses: Sequence[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in Counter(statuses).most_common())


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 4) for value in values]
