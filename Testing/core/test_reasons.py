"""Reasons are values; their sentences come from one table, in English and in the user's language."""

from __future__ import annotations

import string

import pytest
from CRLMSegmentationLib.core import i18n
from CRLMSegmentationLib.core.reasons import (
    EARLIER_SENTENCES,
    ENGLISH,
    OF_SENSOR,
    Reason,
    ReasonCode,
    reason_from_tag,
    tag_of_reason,
    translated,
)

NUMBERS = {"seconds": 1.25, "mm": 44.6, "degrees": 90.0, "factor": 1.1, "cosine": 0.02}
NAMES = {"start": "Stylus", "goal": "Reference", "transform": "StylusToReference", "lesion": "Tumour 1", "text": "open"}


@pytest.mark.parametrize("reason", ReasonCode)
def test_every_reason_has_a_sentence_that_its_parameters_fill(reason):
    places = {place for _, place, _, _ in string.Formatter().parse(ENGLISH[reason]) if place}
    status = Reason(reason, {place: {**NUMBERS, **NAMES}[place] for place in places})
    assert status.sentence
    assert "{" not in str(status)
    assert str(status.about_sensor()) == f"liver sensor: {status.sentence}"
    assert status.to_json()["code"] == reason.value


def test_sentence_is_translated_before_it_is_filled(monkeypatch):
    german = {ENGLISH[ReasonCode.JUMPED]: "um {mm:.0f} mm gesprungen", OF_SENSOR: "Lebersensor: {sentence}"}
    monkeypatch.setattr(i18n, "translator", lambda text: german.get(text, text))
    status = Reason(ReasonCode.JUMPED, {"mm": 44.6})
    assert translated(status) == "um 45 mm gesprungen"
    assert translated(status.about_sensor()) == "Lebersensor: um 45 mm gesprungen"
    assert str(status) == "jumped by 45 mm"


def test_numbers_make_another_status_of_the_same_kind():
    one, other = (Reason(ReasonCode.JUMPED, {"mm": mm}) for mm in (12.0, 13.0))
    assert one != other
    assert one.kind == other.kind
    assert one.kind != one.about_sensor().kind


@pytest.mark.parametrize("reason", [ReasonCode.CUT_OFF, ReasonCode.NOT_INSONIFIED])
def test_reason_comes_back_from_a_scene_also_of_one_that_holds_the_sentence(reason):
    assert reason_from_tag(tag_of_reason(Reason(reason))) == Reason(reason)
    assert reason_from_tag(ENGLISH[reason]) == Reason(reason)


@pytest.mark.parametrize("sentence", EARLIER_SENTENCES)
def test_reason_comes_back_from_a_sentence_that_has_changed_since(sentence):
    assert sentence not in ENGLISH.values()
    assert reason_from_tag(sentence) == Reason(EARLIER_SENTENCES[sentence])


def test_reason_of_a_scene_that_nobody_knows_is_still_one():
    assert str(reason_from_tag("the probe was upside down")) == "the probe was upside down"
    assert reason_from_tag(tag_of_reason(None)) is None


@pytest.mark.parametrize("reason", ReasonCode)
def test_every_reason_that_a_scene_holds_has_a_sentence(reason):
    status = reason_from_tag(reason.value)
    assert status.sentence
    assert "{" not in str(status) + translated(status)
    assert reason_from_tag(ENGLISH[reason]).sentence
