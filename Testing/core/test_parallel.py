"""Jobs in several processes. That they end with their parent is tested with the commands that start them."""

from __future__ import annotations

import os

import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.parallel import map_in_processes


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_their_jobs(processes):
    told = []
    assert map_in_processes(abs, [-3, 1, -2], processes, told.append) == [3, 1, 2]
    assert told == [3, 1, 2]


@pytest.mark.parametrize("processes", [1, 2])
def test_what_a_job_raises_comes_as_it_is(processes):
    with pytest.raises(ValueError, match="could not convert"):
        map_in_processes(float, ["1", "one"], processes)


def test_process_that_is_gone_is_told_with_what_to_do():
    with pytest.raises(CrlmError, match="fewer processes"):
        map_in_processes(os._exit, [1], 2)
