"""The end of live volumes in a program that is slow: it takes more time between two steps than a turn may take."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.live_reconstruction import LiveReconstruction, LiveState
from CRLMSegmentationLib.igtl.messages import Message, StringMessage
from CRLMSegmentationLib.igtl.plus_commands import START, STOP, PlusReply, command_of, pack_reply
from CRLMSegmentationLib.igtl.server import IgtlServer

SLOW_STEP_S = 0.2
"""Passes between two looks at the clock; more than a turn, or the end of a connection, is given."""


def test_stop_reaches_the_server_however_slow_the_program_is():
    asked: list[str] = []

    def answer(message: Message) -> list[Message]:
        command = command_of(message) if isinstance(message, StringMessage) else None
        if command is None:
            return []
        asked.append(command.name)
        return [pack_reply(PlusReply(command.uid, True, ""))]

    looks = count()
    with IgtlServer(port=0, answer=answer) as server:
        client = IgtlClient("127.0.0.1", server.port, clock=lambda: SLOW_STEP_S * next(looks))
        live = LiveReconstruction(client, every_s=1e9)
        live.start()

        def until(done: Callable[[], bool]) -> None:
            for _ in range(3000):
                if done():
                    return
                live.poll()
                server.poll(0.001)
            raise AssertionError(f"{live.live_state} {client.state_reason} {asked}")

        until(lambda: live.live_state is LiveState.RUNNING)
        live.close()
        until(lambda: STOP in asked)
    assert asked == [START, STOP]
