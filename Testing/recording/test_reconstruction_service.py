"""Live reconstruction as PLUS does it: our service answers, our client asks, over a real socket."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, StringMessage
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.plus_commands import (
    RESUME,
    SNAPSHOT,
    START,
    STOP,
    SUSPEND,
    PlusCommand,
    pack_command,
    reply_of,
)
from CRLMSegmentationLib.recording.reconstruction_service import ReconstructionService
from CRLMSegmentationLib.recording.sweep_messages import messages_of_sweep
from helpers.tiny_sweeps import tiny_sweep


@pytest.fixture
def sweep():
    return tiny_sweep()


@pytest.fixture
def service(sweep) -> ReconstructionService:
    return ReconstructionService(sweep)


def ask(service: ReconstructionService, name: str, **attributes: str) -> list[Message]:
    return service.answer(pack_command(PlusCommand(7, name, attributes)))


def play(service: ReconstructionService, sweep, count: int = 100) -> None:
    for timed in messages_of_sweep(sweep)[: 4 * count]:
        service.take(timed.load())


def test_volume_comes_before_the_reply(service, sweep) -> None:
    ask(service, START)
    play(service, sweep)
    volume, reply = ask(service, STOP, OutputVolDeviceName="RecVol_Reference")
    assert isinstance(volume, ImageMessage)
    assert volume.device == "RecVol_Reference"
    assert volume.array.shape == (5, 6, 8)
    np.testing.assert_array_equal(volume.array[:, 0, 0], [10, 20, 30, 40, 50])
    np.testing.assert_allclose(volume.ijk_to_ras, np.eye(4), atol=1e-9)
    assert reply_of(reply).succeeded


def test_snapshot_holds_what_has_come_so_far(service, sweep) -> None:
    ask(service, START)
    play(service, sweep, 2)
    volume, _ = ask(service, SNAPSHOT, ApplyHoleFilling="FALSE")
    np.testing.assert_array_equal(volume.array[:, 3, 4], [10, 20, 0, 0, 0])


def test_region_that_the_client_asks_for(service, sweep) -> None:
    ask(service, START, OutputOrigin="2 1 0", OutputSpacing="2 1 1", OutputExtent="0 2 0 3 0 4")
    play(service, sweep)
    volume, _ = ask(service, SNAPSHOT)
    assert volume.array.shape == (5, 4, 3)
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 3], [2, 1, 0])
    np.testing.assert_allclose(np.diag(volume.ijk_to_ras), [2, 1, 1, 1])


def test_frames_that_come_while_it_is_suspended_are_left_out(service, sweep) -> None:
    messages = messages_of_sweep(sweep)
    ask(service, START)
    service.take(messages[3].load())
    ask(service, SUSPEND)
    service.take(messages[7].load())
    ask(service, RESUME)
    service.take(messages[11].load())
    volume, _ = ask(service, STOP, ApplyHoleFilling="FALSE")
    np.testing.assert_array_equal(volume.array[:, 0, 0], [10, 0, 30, 0, 0])


@pytest.mark.parametrize("name", [SNAPSHOT, STOP, SUSPEND, RESUME])
def test_what_was_not_started_fails_with_a_reason(service, name: str) -> None:
    (reply,) = ask(service, name)
    assert not reply_of(reply).succeeded
    assert name in reply_of(reply).text


def test_second_start_fails_as_in_plus(service) -> None:
    ask(service, START)
    (reply,) = ask(service, START)
    assert "in progress" in reply_of(reply).text


@pytest.mark.parametrize(
    "wrong",
    [
        {"OutputOrigin": "a b c"},
        {"OutputOrigin": "0 0 0", "OutputExtent": "0 0 0 0 0 0"},
        {"OutputOrigin": "0 0 0", "OutputExtent": "0 9999 0 9999 0 9999"},
        {"OutputSpacing": "0 0 0"},
        {"OutputSpacing": "nan 1 1"},
        {"OutputSpacing": "é" * 5000},
        {"OutputOrigin": "0 0 0", "OutputExtent": "0 9 0 9 0 9", "OutputSpacing": "-1 -1 -1"},
        {"OutputOrigin": "0 0 0", "OutputExtent": "0 1e300 0 1e300 0 1e300"},
    ],
)
def test_region_that_cannot_be_is_refused(service, wrong: dict) -> None:
    (reply,) = ask(service, START, **wrong)
    assert not reply_of(reply).succeeded
    pack(reply)


def test_volume_under_a_name_that_cannot_be_sent_is_refused(service, sweep) -> None:
    ask(service, START)
    play(service, sweep)
    (reply,) = ask(service, SNAPSHOT, OutputVolDeviceName="Lebér")
    assert not reply_of(reply).succeeded
    assert "Lebér" in reply_of(reply).text
    pack(reply)


def test_unknown_and_unreadable_commands_are_answered_as_plus_does(service) -> None:
    for message in (pack_command(PlusCommand(1, "Dance")), StringMessage("CMD_2", 0.0, "<<<")):
        (reply,) = service.answer(message)
        assert reply_of(reply).uid is None
        assert not reply_of(reply).succeeded


def test_other_messages_get_no_answer(service) -> None:
    assert service.answer(StringMessage("Hello", 0.0, "there")) == []
