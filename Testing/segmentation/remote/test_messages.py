"""The messages between client and server: what they carry, what they never carry, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from CRLMSegmentationLib.core.crop import part_for_crop
from CRLMSegmentationLib.core.errors import WorkerError
from CRLMSegmentationLib.core.frames import MAGIC, PREFIX, FrameReader, decode, encode
from CRLMSegmentationLib.core.points import CorrectionPoint, PointKind
from CRLMSegmentationLib.core.volume import Volume
from CRLMSegmentationLib.segmentation.engine.engine import Finished, LesionJob
from CRLMSegmentationLib.segmentation.remote.message_format import FORMAT, Code, Wanted
from CRLMSegmentationLib.segmentation.remote.messages import (
    WireError,
    check_is_part,
    check_update,
    decode_answer,
    decode_request,
    encode_answer,
    encode_ended,
    encode_request,
)
from CRLMSegmentationLib.segmentation.results import Options, Purpose
from helpers.server_helpers import CROP_MM, SEED, dark_volume, job_in
from helpers.stub_engine import SPACING_MM, StubEngine

MODEL = "a1" * 32
REQUEST_ID = "0f" * 16
POINTS = (CorrectionPoint(PointKind.INCLUDE, (22.0, 20.0, 21.0)), CorrectionPoint(PointKind.EXCLUDE, (30.0, 2.0, 9.5)))


@pytest.fixture
def job() -> LesionJob:
    return job_in(dark_volume(), points=POINTS)


@pytest.fixture
def body(job: LesionJob) -> bytes:
    return encode_request(job, MODEL)


def answer_to(job: LesionJob) -> Finished:
    engine = StubEngine(takes_points=True)
    engine.submit(job)
    engine.finish()
    return next(event for event in engine.poll() if isinstance(event, Finished))


def changed(body: bytes, arrays: dict[str, np.ndarray] | None = None, **changes: object) -> bytes:
    """A frame with other entries or arrays; an entry that is None is left out."""
    frame = decode(body)
    header = {name: value for name, value in frame.header.items() if name != "arrays"}
    header = {name: value for name, value in {**header, **changes}.items() if value is not None}
    return b"".join(encode(header, {**frame.arrays(), **(arrays or {})} if arrays != {} else {}))


def rewritten(body: bytes, old: bytes, new: bytes) -> bytes:
    """A frame whose header holds another text."""
    frame = decode(body)
    text = json.dumps(frame.header).encode()
    assert old in text
    text = text.replace(old, new)
    return PREFIX.pack(MAGIC, len(text), len(frame.payload)) + text + frame.payload.tobytes()


def test_request_comes_as_it_was_sent(job, body):
    decoded = decode_request(body)
    assert (decoded.model_sha256, decoded.wanted) == (MODEL, Wanted.BOTH)
    sent, got = job.request, decoded.job.request
    assert (got.seed_ras_mm, got.options, got.points, got.purpose) == (
        sent.seed_ras_mm,
        sent.options,
        sent.points,
        sent.purpose,
    )
    np.testing.assert_array_equal(decoded.job.volume.array, job.volume.array)
    np.testing.assert_array_equal(decoded.job.volume.ijk_to_ras, job.volume.ijk_to_ras)
    np.testing.assert_array_equal(decoded.job.volume.insonified_in(), job.volume.insonified_in())


@pytest.mark.parametrize("kind", ["no mask", "mask", "missing", "constant"])
def test_field_of_view_is_the_same_on_the_other_side(kind):
    volume = dark_volume()
    array = volume.array.astype(np.float32)
    insonified = None
    if kind == "mask":
        insonified = np.ones(array.shape, bool)
        insonified[:, :, :5] = False
    if kind == "missing":
        array[5:9] = np.nan
    if kind == "constant":
        array[:, :, :8] = -1024
    volume = Volume(array, volume.ijk_to_ras, insonified=insonified)
    got = decode_request(encode_request(job_in(volume), MODEL)).job.volume
    np.testing.assert_array_equal(got.insonified_in(), volume.insonified_in())
    np.testing.assert_array_equal(got.array, volume.array)


def test_no_name_identity_time_or_hash_of_a_volume_leaves_the_room(body):
    job = job_in(dark_volume(), lesion="Mrs Miller, segment VII")
    sent = encode_request(job, MODEL)
    identity = job.request.volume
    secret = [job.request.lesion, identity.device, identity.content_sha256, identity.geometry_sha256, "100.0"]
    assert [text for text in secret if text.encode() in sent] == []
    assert set(decode(sent).header) == {
        *("type", "format", "model_sha256", "answer", "seed_ras_mm", "crop_size_mm", "mirroring", "quick", "flip"),
        *("sliding_window", "purpose", "points", "ijk_to_ras", "background", "arrays"),
    }


def test_more_of_a_volume_than_the_crop_needs_is_refused():
    volume = dark_volume(size=90)
    job = job_in(volume, seed=(45.0, 45.0, 45.0), crop_mm=20.0)
    part, _ = part_for_crop(volume, np.array(job.request.seed_ras_mm), 20.0, SPACING_MM)
    check_is_part(decode_request(encode_request(replace(job, volume=part), MODEL)).job, SPACING_MM)
    with pytest.raises(WireError, match="no more of a volume may be sent"):
        check_is_part(decode_request(encode_request(job, MODEL)).job, SPACING_MM)


def test_whole_volumes_are_not_sent():
    job = job_in(dark_volume())
    whole = replace(job, request=replace(job.request, options=Options(None)))
    with pytest.raises(WireError, match="this computer only"):
        encode_request(whole, MODEL)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": FORMAT + 1},
        {"format": True},
        {"type": "job"},
        {"model_sha256": "../../etc"},
        {"answer": "everything"},
        {"seed_ras_mm": [0, 0]},
        {"seed_ras_mm": [1e9, 0, 0]},
        {"crop_size_mm": 4000.0},
        {"crop_size_mm": "80"},
        {"mirroring": 1},
        {"flip": [0, 0]},
        {"flip": [3]},
        {"purpose": "other"},
        {"points": [{"kind": "include", "ras_mm": [1, 2, 3]}] * 101},
        {"points": [{"kind": "maybe", "ras_mm": [1, 2, 3]}]},
        {"ijk_to_ras": [[1, 0, 0, 0]] * 3},
        {"ijk_to_ras": [[0, 0, 0, 0]] * 3 + [[0, 0, 0, 1]]},
        {"background": {"values": [0.0] * 17, "tolerance": 0, "low": None, "high": None, "is_in_tissue": False}},
        {"background": {"values": [], "tolerance": 0}},
        {"background": None},
        {"lesion": "Mrs Miller"},
        {"path": "/etc/passwd"},
        {"seed_ras_mm": None},
    ],
    ids=str,
)
def test_entries_of_a_request_are_checked(body, changes):
    with pytest.raises(WireError):
        decode_request(changed(body, **changes))


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"voxels": np.zeros((40, 40, 40, 2), np.uint8)},
        {"voxels": np.zeros((40, 40, 39), np.uint8)},
        {"voxels": np.full((40, 40, 40), np.inf, np.float32)},
        {"voxels": np.zeros((40, 40, 40), np.complex64)},
        {"voxels": np.zeros((40, 40, 40), ">u2")},
        {"voxels": np.zeros((40, 40, 40), "M8[s]")},
        {"insonified": np.ones((40, 40, 40), bool)},
        {"missing": np.zeros((40, 40, 41), bool)},
        {"missing": np.zeros((40, 40, 40), np.uint8)},
        {"more": np.zeros((1, 1, 1), bool)},
    ],
    ids=lambda arrays: str({name: (array.dtype.str, array.shape) for name, array in arrays.items()}),
)
def test_arrays_of_a_request_are_checked(body, arrays):
    with pytest.raises(WireError):
        decode_request(changed(body, arrays))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"|u1"', b'"|O"'),
        (b'"|u1"', b'"|V1"'),
        (b'"|u1"', b'["|u1"]'),
        (b"[40, 40, 40]", b"[-40, -40, 40]"),
        (b"[40, 40, 40]", b"[4294967296, 4294967296, 64000]"),
        (b"[40, 40, 40]", b"[40, 40, 40.0]"),
        (b'"voxels"', b'"missing"'),
        (b'"purpose"', b'"quick": false, "purpose"'),
        (b"[20.0, 20.0, 20.0]", b"[20.0, 20.0, NaN]"),
        (b'"points": [', b'"points": [' + b"[" * 5000),
        (b'"purpose"', b'"purpose\x00"'),
    ],
    ids=lambda text: text[:30].decode("latin1"),
)
def test_headers_by_hand_are_refused(body, old, new):
    with pytest.raises(WireError):
        decode_request(rewritten(body, old, new))


@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 200, -1])
def test_a_body_that_was_cut_off_is_refused(body, length):
    with pytest.raises(WireError):
        decode_request(body[:length])


def test_a_length_that_is_not_true_is_refused_before_memory_is_taken(body):
    magic, header_bytes, _ = PREFIX.unpack(body[: PREFIX.size])
    with pytest.raises(WireError):
        decode_request(PREFIX.pack(magic, header_bytes, 1 << 60) + body[PREFIX.size :])
    reader = FrameReader(max_payload_bytes=1000)
    huge = PREFIX.pack(MAGIC, 2, 1001) + b"{}"
    reader.wanted()[:] = huge[: PREFIX.size]
    with pytest.raises(WorkerError, match="expected a frame"):
        reader.filled(PREFIX.size)


def test_a_body_is_never_unpickled(body):
    import pickle

    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    for hostile in (pickle.dumps(Bomb()), changed(body)[: PREFIX.size] + pickle.dumps(Bomb())):
        with pytest.raises(WireError):
            decode_request(hostile)


def encoded_answer(job: LesionJob, body: bytes, wanted: Wanted = Wanted.BOTH) -> bytes:
    import hashlib

    sha256 = hashlib.sha256(body).hexdigest()
    return encode_answer(answer_to(job), REQUEST_ID, sha256, MODEL, wanted, 0.1, 0.5)


def decoded_answer(data: bytes, body: bytes) -> Finished:
    return decode_answer(decode(data), REQUEST_ID, body, decode_request(body), SPACING_MM)


def test_answer_comes_as_it_was_sent(job, body):
    sent, got = answer_to(job), decoded_answer(encoded_answer(job, body), body)
    np.testing.assert_array_equal(got.probability, sent.probability)
    np.testing.assert_array_equal(got.lesion.part, sent.lesion.part)
    assert got.timings_s == sent.timings_s
    for name in ("volume_ml", "diameters_mm", "mean_probability", "warnings", "offset_kji", "shape"):
        assert getattr(got.lesion, name) == getattr(sent.lesion, name)


def test_an_empty_mask_comes_as_well(body):
    job = job_in(Volume(np.full((40, 40, 40), 120, np.uint8), np.eye(4)))
    body = encode_request(job, MODEL)
    got = decoded_answer(encoded_answer(job, body), body)
    assert got.lesion.is_empty


@pytest.mark.parametrize(("wanted", "arrays"), [(Wanted.MASK, {"part"}), (Wanted.PROBABILITY, {"probability"})])
def test_a_client_may_want_less(job, body, wanted, arrays):
    assert set(decode(encoded_answer(job, body, wanted)).arrays()) == arrays


@pytest.mark.parametrize(
    "changes",
    [
        {"request": "0e" * 16},
        {"body_sha256": "0" * 64},
        {"model_sha256": "0" * 64},
        {"format": 2},
        {"timings_s": {"inference": -1}},
        {"timings_s": {"anything": 1}},
        {"queue_s": -1},
        {"warnings": ["x"] * 51},
        {"warnings": "none"},
        {"lesion": None},
        {"lesion.volume_ml": -1},
        {"lesion.volume_ml": 99.0},
        {"lesion.mean_probability": 1.5},
        {"lesion.diameters_mm": [1, 2]},
        {"lesion.offset_kji": [39, 0, 0]},
        {"lesion.offset_kji": [-1, 0, 0]},
        {"lesion.shape": [41, 40, 40]},
        {"lesion.ijk_to_ras": np.diag([2, 1, 1, 1]).tolist()},
        {"lesion.crop_to_ras": np.eye(4).tolist()},
        {"lesion.extra": 1},
    ],
    ids=str,
)
def test_entries_of_an_answer_are_checked(job, body, changes):
    data = encoded_answer(job, body)
    lesion = decode(data).header["lesion"]
    inner = {name.partition(".")[2]: value for name, value in changes.items() if "." in name}
    outer = {"lesion": {**lesion, **inner}} if inner else changes
    with pytest.raises(WireError):
        decoded_answer(changed(data, **outer), body)


@pytest.mark.parametrize(
    "arrays",
    [
        {"probability": np.zeros((40, 40, 41), np.float32)},
        {"probability": np.full((40, 40, 40), 1.1, np.float32)},
        {"probability": np.full((40, 40, 40), np.nan, np.float32)},
        {"probability": np.zeros((40, 40, 40), np.float64)},
        {"part": np.ones((3, 3, 3), bool)},
        {"part": np.ones((41, 3, 3), bool)},
        {"part": np.full((15, 15, 15), 2, np.uint8).view(bool)},
        {"other": np.ones((3, 3, 3), bool)},
    ],
    ids=lambda arrays: str({name: (array.dtype.str, array.shape) for name, array in arrays.items()}),
)
def test_arrays_of_an_answer_are_checked(job, body, arrays):
    with pytest.raises(WireError):
        decoded_answer(changed(encoded_answer(job, body), arrays), body)


def test_texts_of_a_server_are_made_printable(job, body):
    data = changed(encoded_answer(job, body), device="\x1b[31mH200\n" * 200, warnings=["a\x1b[0m\nb"])
    got = decoded_answer(data, body)
    assert got.device.isprintable()
    assert len(got.device) <= 500
    assert all(text.isprintable() for text in got.warnings)


def test_ends_and_updates_are_checked():
    assert check_update(decode(encode_ended("failed", REQUEST_ID, Code.INPUT, "no")))["code"] == "input"
    for hostile in ({"type": "other"}, {"type": "progress", "stage": "inference", "done": -1, "total": 1}):
        with pytest.raises(WireError):
            check_update(decode(b"".join(encode(hostile))))


@pytest.mark.parametrize("purpose", list(Purpose))
def test_every_purpose_can_be_sent(purpose):
    job = job_in(dark_volume(), purpose=purpose)
    assert decode_request(encode_request(job, MODEL)).job.request.purpose is purpose
    assert (job.request.seed_ras_mm, job.request.options.crop_size_mm) == (SEED, CROP_MM)
