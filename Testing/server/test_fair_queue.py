"""Turns of clients, and limits: the queue and the rate, without a server."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi")
from CRLMSegmentationLib.server.fair_queue import ClientKey, FairQueue, Waiting
from CRLMSegmentationLib.server.rate_limit import RateLimit, retry_after


def waiting(name: str, number: int, session: str = "", model: str = "m", is_background: bool = False) -> Waiting[str]:
    return Waiting(f"{name}{session}{number}", ClientKey(name, session), model, is_background)


def drained(queue: FairQueue[str]) -> list[str]:
    return [found.item for found in iter(lambda: queue.pop({"m"}), None)]


def test_clients_take_turns():
    queue: FairQueue[str] = FairQueue(100, 100)
    for number in range(5):
        queue.add(waiting("a", number))
    queue.add(waiting("b", 0))
    queue.add(waiting("c", 0))
    assert drained(queue) == ["a0", "b0", "c0", "a1", "a2", "a3", "a4"]


def test_many_sessions_of_one_token_have_one_turn():
    queue: FairQueue[str] = FairQueue(100, 100)
    for session in "xyz":
        for number in range(2):
            queue.add(waiting("a", number, session))
    for number in range(3):
        queue.add(waiting("b", number))
    assert drained(queue) == ["ax0", "b0", "ay0", "b1", "az0", "b2", "ax1", "ay1", "az1"]


def test_a_client_that_came_late_is_not_behind_one_that_was_served_often():
    queue: FairQueue[str] = FairQueue(100, 100)
    for number in range(3):
        queue.add(waiting("a", number))
    assert queue.pop({"m"}).item == "a0"
    queue.add(waiting("b", 0))
    assert drained(queue) == ["b0", "a1", "a2"]


def test_background_runs_last():
    queue: FairQueue[str] = FairQueue(100, 100)
    queue.add(waiting("a", 0, is_background=True))
    queue.add(waiting("b", 1))
    assert queue.has_foreground("m")
    assert queue.pop({"m"}, background=False).item == "b1"
    assert queue.pop({"m"}, background=False) is None
    assert drained(queue) == ["a0"]


def test_a_worker_gets_what_its_model_can_answer():
    queue: FairQueue[str] = FairQueue(100, 100)
    queue.add(waiting("a", 0, model="other"))
    assert queue.pop({"m"}) is None
    assert queue.pop({"m", "other"}).item == "a0"


def test_limits():
    queue: FairQueue[str] = FairQueue(3, 2)
    first = waiting("a", 0, "x")
    queue.add(first)
    queue.add(waiting("a", 1, "y"))
    assert queue.is_full_for(ClientKey("a", "z"))
    assert not queue.is_full_for(ClientKey("b", ""))
    queue.add(waiting("b", 0))
    assert queue.is_full()
    assert not queue.remove("another")
    assert queue.remove(first.item)
    assert not queue.is_full()


def test_what_was_interrupted_goes_first_of_its_client():
    queue: FairQueue[str] = FairQueue(9, 9)
    queue.add(waiting("a", 1))
    queue.add(waiting("a", 0), is_first=True)
    assert drained(queue) == ["a0", "a1"]


def test_rate_of_each_client():
    now_s = 0.0
    limit = RateLimit(2.0, 3.0, lambda: now_s)
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert limit.wait_s("b") == 0
    now_s = 0.5
    assert [limit.wait_s("a"), limit.wait_s("a")] == [0, 0.5]
    now_s = 100.0
    assert [limit.wait_s("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert (retry_after(0.01), retry_after(1.2)) == ("1", "2")
