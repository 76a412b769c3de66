"""The timeline of a recording, and how it is kept."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CaseError, LinkError, VolumeError
from CRLMSegmentationLib.core.hashing import sha256_of
from CRLMSegmentationLib.core.json_files import Damage
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, TransformMessage, volume_of
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.recording.case import Case, TrackingSample, append_tracking
from CRLMSegmentationLib.recording.player import Player, ReplayEvent, run_replay
from CRLMSegmentationLib.recording.timeline import from_first_volume, load_source, timeline
from helpers.paths import SHARED_DATA


class Workspace:
    """A client that is polled whenever the player asks whether to stop, and stops it once satisfied."""

    def __init__(self, server: IgtlServer, enough: int) -> None:
        self.client = IgtlClient("127.0.0.1", server.port)
        self.enough = enough
        self.got: list[Message] = []
        self.end_s = time.monotonic() + 120

    def stop(self) -> bool:
        self.got += self.client.poll()
        return len(self.got) >= self.enough or time.monotonic() > self.end_s


def play(source: Case | Volume, enough: int, **options: object) -> Workspace:
    with IgtlServer() as server:
        workspace = Workspace(server, enough)
        Player(timeline(source), server, stop=workspace.stop, **options).run()
        workspace.client.close()
    return workspace


def test_timeline_puts_volume_and_poses_in_the_order_of_their_times(tiny_case: Case) -> None:
    timed = timeline(tiny_case)
    assert [round(t.offset_s, 3) for t in timed] == [0, 0.05, 0.1, 0.15, 0.2, 0.22, 0.25, 0.3, 0.35, 0.4, 0.45]
    assert isinstance(timed[5].load(), ImageMessage)
    assert timed[5].load().device == "recvol_Reference"
    assert [t.load().status for t in timed if isinstance(t.load(), TransformMessage)][2:5] == ["OK", "MISSING", "OK"]


def test_volume_of_unknown_time_belongs_to_the_start(tiny_case: Case) -> None:
    undated = replace(tiny_case, volumes=(replace(tiny_case.volumes[0], timestamp_s=0.0),))
    first, second = timeline(undated)[:2]
    assert (first.offset_s, second.offset_s) == (0.0, 0.0)
    assert isinstance(first.load(), ImageMessage)


def test_sweep_before_the_first_volume_can_be_left_out(tiny_case: Case) -> None:
    timed = from_first_volume(timeline(tiny_case))
    assert isinstance(timed[0].load(), ImageMessage)
    assert [round(t.offset_s, 2) for t in timed] == [0, 0.03, 0.08, 0.13, 0.18, 0.23]


def test_impossible_times_cost_their_lines(tiny_case: Case) -> None:
    for time_s in (math.nan, -1.0, 1e300):
        sample = TrackingSample(time_s, "ProbeToReference", "OK", np.eye(4))
        append_tracking(tiny_case.folder / "tracking.jsonl", [sample])
    assert problems_of(tiny_case).count == 3
    assert "timestamp_s must be" in problems_of(tiny_case).first


def problems_of(case: Case) -> Damage:
    """What is left out of a case with eleven good messages."""
    damage = Damage()
    assert len(timeline(case, damage)) == 11
    return damage


def test_case_is_played_whole_with_its_recorded_times(tiny_case: Case) -> None:
    workspace = play(tiny_case, 11)
    assert [m.timestamp_s for m in workspace.got] == pytest.approx([t.load().timestamp_s for t in timeline(tiny_case)])
    assert [m.matrix[0, 3] for m in workspace.got if isinstance(m, TransformMessage)] == list(range(10))


def test_received_volume_is_the_recorded_one(tiny_case: Case) -> None:
    (got,) = [volume_of(m) for m in play(tiny_case, 11, speed=math.inf).got if isinstance(m, ImageMessage)]
    np.testing.assert_array_equal(got.array, tiny_case.volume().array)
    np.testing.assert_allclose(got.ijk_to_ras, tiny_case.volume().ijk_to_ras, atol=2e-5)
    assert got.timestamp_s == pytest.approx(tiny_case.volume().timestamp_s, abs=1e-6)


def test_two_replays_give_the_same_identity(tiny_case: Case) -> None:
    first, second = (
        next(volume_of(m).identity for m in play(tiny_case, 11, speed=math.inf).got if isinstance(m, ImageMessage))
        for _ in range(2)
    )
    assert first == second


def test_loop_begins_again(tiny_case: Case) -> None:
    workspace = play(tiny_case, 25, speed=20.0, loop=True)
    poses = [m.matrix[0, 3] for m in workspace.got if isinstance(m, TransformMessage)]
    assert poses[:20] == [*range(10), *range(10)]


class Ticking:
    """A clock that goes on whenever somebody looks."""

    def __init__(self, tick_s: float = 0.1) -> None:
        self.now_s, self.tick_s = 0.0, tick_s

    def __call__(self) -> float:
        self.now_s += self.tick_s
        return self.now_s


class ScriptedServer(IgtlServer):
    """A server whose clients are what the test says; notes when volumes were sent."""

    clients: tuple = ()

    def __init__(self, clock: Ticking) -> None:
        super().__init__()
        self.clock, self.sent_s = clock, []

    def broadcast(self, message: Message, retain: bool = False) -> None:
        self.sent_s.append(self.clock.now_s)

    def poll(self, timeout_s: float = 0.0) -> list[Message]:
        return []


@pytest.mark.parametrize("speed", [0.5, 1.0, 4.0])
def test_speed_stretches_and_shortens_the_time(tiny_case: Case, speed: float) -> None:
    with ScriptedServer(Ticking(0.0001)) as server:
        server.clients = ("somebody",)
        Player(timeline(tiny_case), server, speed, stop=lambda: len(server.sent_s) == 11, clock=server.clock).run()
    offsets_s = [timed.offset_s for timed in timeline(tiny_case)]
    assert np.diff(server.sent_s) == pytest.approx(np.diff(offsets_s) / speed, abs=0.002)


def turns_of(server: ScriptedServer, end_s: float) -> list[float]:
    """When the only volume of a recording without length was sent, in a loop."""
    volume = Volume(np.arange(24, dtype=np.uint8).reshape(4, 3, 2), np.eye(4), "recvol_Reference")
    stop = lambda: server.clock() >= end_s  # noqa: E731
    Player(timeline(volume), server, loop=True, stop=stop, clock=server.clock).run()
    return server.sent_s


def test_turn_of_a_loop_lasts_a_second_at_least() -> None:
    with ScriptedServer(Ticking()) as server:
        server.clients = ("somebody",)
        sent_s = turns_of(server, 10.0)
    assert 5 <= len(sent_s) <= 10
    assert np.diff(sent_s).min() >= 1.0


def test_loop_plays_nothing_when_the_last_client_has_left() -> None:
    class ServerThatIsLeft(ScriptedServer):
        clients = ("somebody",)

        def broadcast(self, message: Message, retain: bool = False) -> None:
            super().broadcast(message, retain)
            self.clients = ()

    with ServerThatIsLeft(Ticking()) as server:
        assert len(turns_of(server, 10.0)) == 1


@pytest.mark.parametrize(
    ("matrix", "cause"), [(np.diag([1.0, 0, 1, 1]), "singular"), (np.full((4, 4), math.inf), "Infinity")]
)
def test_transform_that_cannot_be_sent_is_told_before_the_play(matrix, cause, tiny_case: Case) -> None:
    bad = TrackingSample(1700000000.3, "ProbeToReference", "OK", matrix)
    append_tracking(tiny_case.folder / "tracking.jsonl", [bad])
    assert cause in problems_of(tiny_case).first


def test_transform_of_a_lost_tool_may_hold_anything(tiny_case: Case) -> None:
    lost = TrackingSample(1700000000.3, "ProbeToReference", "MISSING", np.zeros((4, 4)))
    append_tracking(tiny_case.folder / "tracking.jsonl", [lost])
    assert len(timeline(tiny_case)) == 12


def test_device_name_that_is_not_ascii_is_told_before_the_play(tiny_case: Case) -> None:
    append_tracking(tiny_case.folder / "tracking.jsonl", [TrackingSample(1700000000.3, "Größe", "OK", np.eye(4))])
    assert 'device must be a device name of ASCII characters, got "Größe"' in problems_of(tiny_case).first


def test_replay_tells_of_lines_that_are_left_out(tiny_case: Case) -> None:
    path = tiny_case.folder / "tracking.jsonl"
    path.write_bytes(b"[" * 100_000 + b"\n" + path.read_bytes())
    entry = json.loads((tiny_case.folder / "case.json").read_text())
    entry["files"]["tracking.jsonl"] = sha256_of(path)
    (tiny_case.folder / "case.json").write_text(json.dumps(entry))
    events: list[ReplayEvent] = []
    run_replay(tiny_case.folder, port=0, on_event=events.append, stop=lambda: True)
    assert events[0].kind == "note"
    assert events[0].text.startswith("1 line of tracking.jsonl cannot be used and is left out; the first is line 1: ")


def test_client_that_comes_after_the_end_still_gets_the_volume(tiny_case: Case) -> None:
    with IgtlServer() as server:
        first = IgtlClient("127.0.0.1", server.port)
        workspaces: list[Workspace] = []

        def on_event(event: ReplayEvent) -> None:
            if event.kind == "finished":
                workspaces.append(Workspace(server, 1))

        def stop() -> bool:
            first.poll()
            return bool(workspaces) and workspaces[0].stop()

        Player(timeline(tiny_case), server, math.inf, on_event=on_event, stop=stop).run()
        assert [m.device for m in workspaces[0].got] == ["recvol_Reference"]
        first.close()
        workspaces[0].client.close()


@pytest.mark.parametrize("speed", [0.0, -1.0, math.nan])
def test_impossible_speeds_are_refused(speed: float, tiny_case: Case) -> None:
    with IgtlServer() as server, pytest.raises(CaseError, match="above 0"):
        Player(timeline(tiny_case), server, speed)


@pytest.mark.parametrize("suffix", [".nrrd", ".mha", ".nii.gz"])
def test_any_volume_file_is_played_under_the_name_that_plus_uses(suffix: str, tmp_path: Path, tiny_case: Case) -> None:
    path = tmp_path / f"scan{suffix}"
    write_volume(tiny_case.volume(), path)
    (got,) = play(load_source(path), 1).got
    assert (got.device, got.timestamp_s) == ("recvol_Reference", 0.0)
    np.testing.assert_array_equal(got.array, tiny_case.volume().array)
    np.testing.assert_allclose(got.ijk_to_ras, tiny_case.volume().ijk_to_ras, atol=1e-4)


def test_sources_that_cannot_be_played_are_told(tmp_path: Path, tiny_case: Case) -> None:
    with pytest.raises(VolumeError, match="no such file"):
        run_replay(tmp_path / "nothing.nrrd", port=0)
    with pytest.raises(CaseError, match="case"):
        run_replay(tmp_path, port=0)
    (tiny_case.folder / "volume.nrrd").write_bytes(b"damaged")
    with pytest.raises(CaseError, match="hash"):
        run_replay(tiny_case.folder, port=0)


def test_port_in_use_is_told(tiny_case: Case) -> None:
    with IgtlServer() as server, pytest.raises(LinkError, match="in use"):
        run_replay(tiny_case.folder, port=server.port)


def test_ctrl_c_ends_the_replay_without_an_error(tiny_case: Case) -> None:
    events: list[ReplayEvent] = []

    def stop() -> bool:
        raise KeyboardInterrupt

    run_replay(tiny_case.folder, port=0, on_event=events.append, stop=stop)
    assert [e.kind for e in events] == ["listening", "stopped"]
    assert events[0].port > 0


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="the recordings of PlusLibData are not at ../shared/data")
@pytest.mark.parametrize("name", ["NwirePhantomFreehandReconstructed.mha", "SpinePhantomFreehandReconstructed.mha"])
def test_real_reconstruction_of_plus_arrives_as_it_is(name: str) -> None:
    source = load_source(SHARED_DATA / name)
    (got,) = play(source, 1).got
    np.testing.assert_array_equal(got.array, source.array)
    np.testing.assert_allclose(got.ijk_to_ras, source.ijk_to_ras, atol=1e-3)
