"""What is looked at again after the first answer: it waits for nothing else to do, and never delays a user."""

from __future__ import annotations

from dataclasses import replace

import pytest
from CRLMSegmentationLib.segmentation.results import (
    LesionFailed,
    LesionProgress,
    LesionSegmented,
    Options,
    Purpose,
    Request,
)

SEED, OTHER_SEED = (20.0, 20.0, 20.0), (19.0, 20.0, 20.0)


@pytest.fixture
def with_answer(session, tiny_volume):
    """A session in which one lesion has been answered."""
    session.use_volume(tiny_volume)
    session.segment("Tumour 1", SEED, Options(first_fold_only=True))
    session.poll()
    session.engine.finish()
    session.result = segmented(session)[-1]
    return session


def segmented(session):
    return [event.result for event in session.poll() if isinstance(event, LesionSegmented)]


def again(session, purpose=Purpose.REPEATED, lesion="Tumour 1", seed_ras_mm=SEED, **changes):
    is_refined = purpose is Purpose.REFINED
    options = Options(**{"crop_size_mm": 30.0, "mirroring": is_refined, "first_fold_only": not is_refined, **changes})
    volume = session.result.volume
    session.refine(Request(lesion, seed_ras_mm, volume.identity, options, purpose), session.result)


def test_quick_answer_asks_for_the_first_fold_alone_and_refining_for_all(with_answer):
    assert with_answer.engine.jobs[0].request.options.first_fold_only
    again(with_answer, Purpose.REFINED)
    with_answer.poll()
    job = with_answer.engine.jobs[1]
    assert (job.request.options.first_fold_only, job.request.options.mirroring) == (False, True)


def test_second_look_is_in_the_volume_of_the_first_whatever_is_current_now(with_answer, tiny_volume):
    with_answer.use_volume(replace(tiny_volume, timestamp_s=tiny_volume.timestamp_s + 1))
    again(with_answer, flip=(1,))
    with_answer.poll()
    assert with_answer.engine.jobs[1].request.options.flip == (1,)
    with_answer.engine.finish()
    result = segmented(with_answer)[0]
    assert result.volume is tiny_volume
    assert (result.request.purpose, result.request.options.flip) == (Purpose.REPEATED, (1,))


def test_nobody_waits_for_the_background(with_answer):
    again(with_answer)
    with_answer.poll()
    assert not with_answer.busy


def test_what_a_user_asks_for_goes_first_and_the_background_begins_anew(with_answer):
    again(with_answer)
    with_answer.poll()
    with_answer.segment("Tumour 2", OTHER_SEED)
    assert with_answer.busy
    with_answer.poll()
    assert with_answer.engine.jobs[-1].request.seed_ras_mm == OTHER_SEED
    with_answer.engine.finish()
    assert [result.request.lesion for result in segmented(with_answer)] == ["Tumour 2"]
    with_answer.poll()
    with_answer.engine.finish()
    result = segmented(with_answer)[0]
    assert (result.request.lesion, result.request.purpose) == ("Tumour 1", Purpose.REPEATED)


def test_crop_that_was_too_small_is_grown_before_the_background_runs(with_answer):
    again(with_answer, lesion="Tumour 2")
    again(with_answer, Purpose.GROWN, crop_size_mm=42.0)
    assert with_answer.busy
    with_answer.poll()
    assert with_answer.engine.jobs[-1].request.options.crop_size_mm == 42.0


def test_new_click_makes_all_of_its_lesion_void_and_leaves_the_others(with_answer):
    again(with_answer)
    again(with_answer, lesion="Tumour 2", seed_ras_mm=OTHER_SEED)
    with_answer.poll()
    with_answer.segment("Tumour 1", OTHER_SEED)
    purposes = []
    for _ in range(6):
        purposes += [(r.request.lesion, r.request.purpose) for r in segmented(with_answer)]
        if with_answer.engine.pending:
            with_answer.engine.finish()
    assert purposes == [("Tumour 1", Purpose.ANSWER), ("Tumour 2", Purpose.REPEATED)]


def test_cancel_clears_the_background_without_a_word(with_answer):
    again(with_answer)
    again(with_answer)
    with_answer.cancel()
    assert not with_answer.poll()
    assert with_answer.engine.pending is None


def test_failure_and_progress_in_the_background_say_so(with_answer):
    again(with_answer)
    with_answer.poll()
    with_answer.engine.fail("no memory")
    again(with_answer)
    failed = [event for event in with_answer.poll() if isinstance(event, LesionFailed)]
    assert [(event.purpose, event.reason) for event in failed] == [(Purpose.REPEATED, "no memory")]
    with_answer.poll()
    with_answer.engine.finish()
    progress = [event for event in with_answer.poll() if isinstance(event, LesionProgress)]
    assert {event.purpose for event in progress} == {Purpose.REPEATED}


def test_preview_goes_before_the_background_and_gives_way_to_what_is_asked_for(with_answer):
    again(with_answer, flip=(1,))
    with_answer.poll()
    preview = with_answer.preview("Tumour 1", OTHER_SEED)
    assert (preview.purpose, with_answer.is_previewing, with_answer.busy) == (Purpose.PREVIEW, True, False)
    with_answer.poll()
    assert with_answer.engine.jobs[-1].request is preview
    answer = with_answer.segment("Tumour 1", OTHER_SEED)
    with_answer.poll()
    assert with_answer.engine.jobs[-1].request is answer
    assert not with_answer.is_previewing
    with_answer.engine.finish()
    assert [result.request for result in segmented(with_answer)] == [answer], "no event comes of the preview"


def test_newer_preview_takes_the_place_of_an_older_one(with_answer):
    with_answer.preview("Tumour 1", SEED)
    newest = with_answer.preview("Tumour 2", OTHER_SEED)
    with_answer.poll()
    with_answer.engine.finish()
    assert [result.request for result in segmented(with_answer)] == [newest]
    assert not with_answer.is_previewing


def test_preempted_background_goes_on_after_a_preview(with_answer):
    again(with_answer, flip=(1,))
    with_answer.poll()
    with_answer.preview("Tumour 2", OTHER_SEED)
    with_answer.poll()
    with_answer.engine.finish()
    segmented(with_answer)
    with_answer.poll()
    assert with_answer.engine.jobs[-1].request.purpose is Purpose.REPEATED
