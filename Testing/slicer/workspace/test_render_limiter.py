"""The limiter of renders: half of the time at most, less while somebody waits, and how much pictures lag."""

from __future__ import annotations

import pytest
from CRLMSegmentationLib.slicer.workspace.render_limiter import LAGS_BELOW_PER_S, SHARE_WHILE_WAITING, RenderLimiter
from helpers.workspace_helpers import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def limiter(clock) -> RenderLimiter:
    return RenderLimiter(clock)


def draw(limiter, clock, **seconds):
    """Let the views render one after the other."""
    for view, taken_s in seconds.items():
        clock.now_s += taken_s
        limiter.note_render(view, taken_s)


def wait_until_allowed(limiter, clock, **how) -> float:
    began_s = clock.now_s
    while not limiter.allows(**how):
        clock.now_s += 0.01
    return clock.now_s - began_s


def test_every_turn_is_allowed_where_nothing_renders(limiter):
    assert all(limiter.allows() for _ in range(10))
    assert limiter.lagging_per_s is None


def test_as_much_time_as_all_views_took_is_left_without_renders(limiter, clock):
    assert limiter.allows()
    draw(limiter, clock, space=0.3, Red=0.1)
    assert wait_until_allowed(limiter, clock) == pytest.approx(0.4, abs=0.011)


def test_renders_that_come_later_count_as_well(limiter, clock):
    assert limiter.allows()
    draw(limiter, clock, space=0.3)
    assert not limiter.allows()
    draw(limiter, clock, Red=0.1)
    assert wait_until_allowed(limiter, clock) == pytest.approx(0.4, abs=0.011)


@pytest.mark.parametrize("cost_s", [0.001, 0.02, 0.3, 2.0])
def test_no_more_than_half_of_the_time_is_spent(limiter, clock, cost_s):
    began_s, spent_s = clock.now_s, 0.0
    for _ in range(50):
        wait_until_allowed(limiter, clock)
        share = spent_s / (clock.now_s - began_s) if spent_s else 0.0
        draw(limiter, clock, space=cost_s)
        spent_s += cost_s
    assert share <= 0.5
    assert share >= 0.5 * cost_s / (cost_s + 0.01), "and no less than turns of 10 ms allow"


def test_rendering_gives_way_while_somebody_waits(limiter, clock):
    assert limiter.allows()
    draw(limiter, clock, space=0.3)
    waited_s = wait_until_allowed(limiter, clock, is_waiting=True)
    assert waited_s == pytest.approx(0.3 / SHARE_WHILE_WAITING - 0.3, abs=0.011)


def test_renders_of_a_user_who_turns_the_camera_do_not_stop_the_tools(limiter, clock):
    """They take all the time there is; the tools move on every second or third render."""
    allowed = 0
    for _ in range(20):
        allowed += limiter.allows()
        draw(limiter, clock, space=0.3)
    assert 6 <= allowed <= 10


def test_what_is_drawn_in_any_case_takes_the_poses_along(limiter, clock):
    assert limiter.allows()
    draw(limiter, clock, space=0.3)
    assert limiter.allows(is_drawn_anyway=True)
    draw(limiter, clock, space=0.3)
    assert wait_until_allowed(limiter, clock) == pytest.approx(0.3, abs=0.011), "which waits anew"


@pytest.mark.parametrize(("cost_s", "per_s"), [(0.01, None), (0.04, None), (0.1, 5.0), (0.3, 5 / 3)])
def test_lag_is_told_where_there_are_fewer_pictures_than_ten_a_second(limiter, clock, cost_s, per_s):
    for _ in range(3):
        wait_until_allowed(limiter, clock)
        draw(limiter, clock, space=cost_s)
    assert limiter.lagging_per_s == (per_s if per_s is None else pytest.approx(per_s))
    assert per_s is None or per_s < LAGS_BELOW_PER_S


def test_lag_is_forgotten_once_renders_are_quick_again(limiter, clock):
    for cost_s in (0.3, 0.3, 0.001, 0.001, 0.001, 0.001):
        wait_until_allowed(limiter, clock)
        draw(limiter, clock, space=cost_s)
    assert limiter.lagging_per_s is None
