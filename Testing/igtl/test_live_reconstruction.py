"""Live volumes asked of a scripted server over a real socket; the clock of what is due is the test's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.live_reconstruction import (
    LONGEST_REPLY_S,
    NO_VOLUME_TIMEOUT_S,
    REPLY_TIMEOUT_S,
    LiveReconstruction,
    LiveState,
    OutputRegion,
)
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, StringMessage
from CRLMSegmentationLib.igtl.plus_commands import SNAPSHOT, START, STOP, PlusCommand, PlusReply, command_of, pack_reply
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.igtl_links import image

NO_FRAMES = "Command failed. See error message. there are no frames in the volume yet."


class ScriptedServer:
    """Answers commands as `replies` says: text of a failure, None for silence, else success with a volume."""

    def __init__(self, port: int = 0) -> None:
        self.commands: list[PlusCommand] = []
        self.replies: dict[str, str | None] = {}
        self.server = IgtlServer(port=port, answer=self.answer)

    def names(self) -> list[str]:
        return [command.name for command in self.commands]

    def answer(self, message: Message) -> list[Message]:
        command = command_of(message) if isinstance(message, StringMessage) else None
        if command is None:
            return []
        self.commands.append(command)
        failure = self.replies.get(command.name, "")
        if failure is None:
            return []
        volumes = [image()] if command.name != START and not failure else []
        return [*volumes, pack_reply(PlusReply(command.uid, not failure, failure))]


class Bench:
    """A server and the live volumes of one client, polled in turns."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.scripted = ScriptedServer()
        self.live = self.new_live()
        self.got: list[Message] = []

    def new_live(self, **options: object) -> LiveReconstruction:
        client = IgtlClient("127.0.0.1", self.scripted.server.port)
        return LiveReconstruction(client, clock=lambda: self.now_s, **options)

    def until(self, done: Callable[[], bool]) -> None:
        for _ in range(3000):
            if done():
                return
            self.turn()
        raise AssertionError(f"{self.live.live_state} {self.live.live_reason} {self.scripted.names()}")

    def turn(self, count: int = 1) -> None:
        for _ in range(count):
            self.scripted.server.poll(0.001)
            self.got += self.live.poll()

    def until_state(self, state: LiveState) -> None:
        self.until(lambda: self.live.live_state is state)

    def later(self, seconds: float) -> None:
        self.now_s += seconds
        self.turn(5)

    def run(self) -> None:
        self.live.start()
        self.until_state(LiveState.RUNNING)

    def snapshot(self) -> None:
        before = self.scripted.names().count(SNAPSHOT)
        self.now_s += 1
        self.until(lambda: self.scripted.names().count(SNAPSHOT) > before and self.live._pending is None)

    def restart_server(self) -> None:
        port = self.scripted.server.port
        self.scripted.server.close()
        replies, self.scripted = self.scripted.replies, ScriptedServer(port)
        self.scripted.replies = replies


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.live.close()
    made.scripted.server.close()


def test_nothing_is_asked_before_the_start(bench) -> None:
    bench.until(lambda: bench.live.state is LinkState.CONNECTED)
    bench.later(5)
    assert bench.scripted.commands == []
    assert not bench.live.is_wanted
    assert not bench.live.repeats_volumes


def test_snapshots_come_every_second_and_their_replies_are_not_passed_on(bench) -> None:
    bench.run()
    assert bench.scripted.names() == [START]
    for count in (1, 2, 3):
        bench.snapshot()
        assert bench.live.snapshots == count
    assert bench.scripted.names() == [START, SNAPSHOT, SNAPSHOT, SNAPSHOT]
    assert [type(message) for message in bench.got] == [ImageMessage] * 3
    assert len({command.uid for command in bench.scripted.commands}) == 4
    assert bench.live.repeats_volumes


def test_server_is_told_where_and_under_which_name(bench) -> None:
    bench.live.close()
    region = OutputRegion((-10.0, 0.5, 7.0), (0.5, 0.5, 1.0), (200, 100, 50))
    bench.live = bench.new_live(region=region, device="Liver", reconstructor="Builder")
    bench.run()
    bench.snapshot()
    start, snapshot = bench.scripted.commands
    common = {"VolumeReconstructorDeviceId": "Builder", "OutputVolDeviceName": "Liver"}
    assert snapshot.attributes == common
    assert start.attributes == {
        **common,
        "OutputOrigin": "-10 0.5 7",
        "OutputSpacing": "0.5 0.5 1",
        "OutputExtent": "0 199 0 99 0 49",
    }


def test_one_snapshot_at_a_time(bench) -> None:
    bench.run()
    bench.scripted.replies[SNAPSHOT] = None
    for _ in range(8):
        bench.later(1)
    assert bench.scripted.names() == [START, SNAPSHOT]


def test_reply_to_an_earlier_command_and_other_texts_change_nothing(bench) -> None:
    bench.run()
    bench.scripted.replies[SNAPSHOT] = None
    bench.later(1)
    bench.until(lambda: SNAPSHOT in bench.scripted.names())
    server = bench.scripted.server
    for reply in (PlusReply(1, False, "old"), PlusReply(bench.scripted.commands[0].uid, False, "older")):
        server.broadcast(pack_reply(reply))
    server.broadcast(StringMessage(f"ACK_{bench.scripted.commands[-1].uid}", 0.0, "<<<"))
    server.broadcast(StringMessage("Hello", 0.0, "there"))
    bench.until(lambda: len(bench.got) == 2)
    assert [message.text for message in bench.got] == ["<<<", "there"], "the answers to commands are not passed on"
    assert (bench.live.live_state, bench.live.live_reason) == (LiveState.RUNNING, "")
    assert bench.live._pending.name == SNAPSHOT


def test_server_without_frames_yet_is_asked_again_and_told_only_after_long(bench) -> None:
    bench.scripted.replies[SNAPSHOT] = NO_FRAMES
    bench.run()
    for _ in range(3):
        bench.snapshot()
    assert (bench.live.live_state, bench.live.live_reason, bench.live.snapshots) == (LiveState.RUNNING, "", 0)
    bench.now_s += NO_VOLUME_TIMEOUT_S
    bench.snapshot()
    assert "no frames in the volume yet" in bench.live.live_reason
    assert "move the probe" in bench.live.live_reason
    del bench.scripted.replies[SNAPSHOT]
    bench.snapshot()
    assert (bench.live.live_reason, bench.live.snapshots) == ("", 1)


def test_reconstruction_that_another_client_has_started_is_used(bench) -> None:
    bench.scripted.replies[START] = "StartVolumeReconstruction: live volume reconstruction is in progress."
    bench.run()
    bench.snapshot()
    assert bench.live.snapshots == 1


def test_server_that_cannot_reconstruct_is_told_with_what_to_look_for(bench) -> None:
    bench.scripted.replies[START] = "no such device"
    bench.live.start()
    bench.until_state(LiveState.FAILED)
    reason = bench.live.live_reason
    assert "no such device" in reason
    assert "VolumeReconstructorDevice" in reason
    bench.later(60)
    assert bench.scripted.names() == [START], "it is not asked again by itself"
    del bench.scripted.replies[START]
    bench.run()
    assert bench.live.live_reason == ""


def test_server_that_does_not_answer_is_given_up(bench) -> None:
    bench.scripted.replies[START] = None
    bench.live.start()
    bench.until(lambda: bench.scripted.commands)
    bench.later(REPLY_TIMEOUT_S - 1)
    assert bench.live.live_state is LiveState.STARTING
    bench.later(2)
    assert bench.live.live_state is LiveState.FAILED
    assert "is it PLUS?" in bench.live.live_reason


def test_pause_of_a_server_that_has_reconstructed_ends_nothing(bench) -> None:
    bench.run()
    bench.scripted.replies[SNAPSHOT] = None
    for _ in range(3):
        bench.later(REPLY_TIMEOUT_S + 1)
    assert bench.live.live_state is LiveState.RUNNING
    assert "has not answered" in bench.live.live_reason
    del bench.scripted.replies[SNAPSHOT]
    bench.later(REPLY_TIMEOUT_S + 1)
    bench.snapshot()
    assert bench.live.live_reason == ""


def test_server_that_is_still_sending_is_not_given_up(bench, monkeypatch) -> None:
    bench.scripted.replies[START] = None
    bench.live.start()
    bench.until(lambda: bench.scripted.commands)
    monkeypatch.setattr(IgtlClient, "receiving", "recvol, 3 of 27 MB")
    for _ in range(5):
        bench.later(REPLY_TIMEOUT_S - 1)
    assert bench.live.live_state is LiveState.STARTING


def test_server_that_is_always_still_sending_is_given_up_all_the_same(bench, monkeypatch) -> None:
    bench.scripted.replies[START] = None
    bench.live.start()
    bench.until(lambda: bench.scripted.commands)
    monkeypatch.setattr(IgtlClient, "receiving", "Image_Reference, 1 of 3 MB")
    bench.later(LONGEST_REPLY_S - 1)
    assert bench.live.live_state is LiveState.STARTING
    bench.later(2)
    assert bench.live.live_state is LiveState.FAILED
    assert f"has not answered {START} within 60 s, in which it sent other messages" in bench.live.live_reason


def test_snapshot_that_is_lost_on_a_link_that_lags_is_asked_for_again(bench, monkeypatch) -> None:
    bench.run()
    bench.scripted.replies[SNAPSHOT] = None
    bench.later(1.0)
    bench.until(lambda: SNAPSHOT in bench.scripted.names())
    asked = bench.scripted.names().count(SNAPSHOT)
    monkeypatch.setattr(IgtlClient, "receiving", "Image_Reference, 1 of 3 MB")
    bench.later(LONGEST_REPLY_S + 1)
    assert bench.live.live_state is LiveState.RUNNING
    assert "has not answered" in bench.live.live_reason
    bench.until(lambda: bench.scripted.names().count(SNAPSHOT) > asked)


def test_server_that_comes_back_begins_again_by_itself(bench) -> None:
    bench.run()
    bench.snapshot()
    bench.restart_server()
    bench.until(lambda: bench.live.state is not LinkState.CONNECTED)
    assert bench.live.is_wanted
    bench.until(lambda: START in bench.scripted.names())
    bench.until_state(LiveState.RUNNING)
    bench.snapshot()
    assert bench.live.snapshots == 2


def test_server_lost_before_it_has_answered_the_start_is_asked_again(bench) -> None:
    bench.scripted.replies[START] = None
    bench.live.start()
    bench.until(lambda: bench.scripted.commands)
    bench.restart_server()
    bench.scripted.replies = {}
    bench.until_state(LiveState.RUNNING)


def test_stop_brings_the_last_volume(bench) -> None:
    bench.run()
    bench.live.stop()
    assert not bench.live.is_wanted
    bench.until_state(LiveState.OFF)
    assert bench.scripted.names() == [START, STOP]
    assert [type(message) for message in bench.got] == [ImageMessage]
    bench.later(5)
    assert bench.scripted.names() == [START, STOP]


def test_stop_without_a_last_volume_is_no_failure(bench) -> None:
    bench.run()
    bench.scripted.replies[STOP] = NO_FRAMES
    bench.live.stop()
    bench.until_state(LiveState.OFF)
    assert bench.live.live_reason == ""


def test_stop_while_the_server_is_away_holds(bench) -> None:
    bench.run()
    bench.restart_server()
    bench.scripted.replies[STOP] = "already stopped"
    bench.until(lambda: bench.live.state is not LinkState.CONNECTED)
    bench.live.stop()
    bench.until_state(LiveState.OFF)
    assert bench.scripted.names() == [STOP]


def test_start_during_the_stop_counts(bench) -> None:
    bench.run()
    bench.scripted.replies[STOP] = None
    bench.live.stop()
    bench.until(lambda: STOP in bench.scripted.names())
    bench.run()
    assert bench.scripted.names() == [START, STOP, START]


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped a moment ago"])
def test_close_tells_the_server_to_stop(bench, stopped: bool) -> None:
    bench.run()
    if stopped:
        bench.live.stop()
    bench.live.close()
    for _ in range(5):
        bench.scripted.server.poll(0.01)
    assert bench.scripted.names() == [START, STOP]
    assert bench.live.state is LinkState.CLOSED
    assert bench.live.poll() == []


def test_close_without_a_server_does_no_harm(bench) -> None:
    bench.scripted.server.close()
    bench.live.start()
    bench.live.poll()
    bench.live.close()
    assert bench.live.state is LinkState.CLOSED
