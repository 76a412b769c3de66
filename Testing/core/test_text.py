"""Text from elsewhere is shown in one bounded line that drives no terminal."""

from __future__ import annotations

import json

import pytest
from CRLMSegmentationLib.core.text import ascii_name, bounded, printable, quoted


@pytest.mark.parametrize(
    "text", ["\x1b[2J\x1b[31mred", "a\nb\r\nc", "\u202egnp.exe", "\u2066x\u2069", "\x07", "\ud800", "a\0b", "\x9b1m"]
)
def test_control_characters_marks_of_direction_and_half_pairs_are_replaced(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) == len(text)
    assert shown.encode("utf-8")


def test_long_texts_are_cut_with_a_mark() -> None:
    assert printable("x" * 10_000_000, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10
    assert quoted("a\nb") == "'a�b'"


def test_names_in_letters_of_any_language_stay_as_they_are() -> None:
    assert printable("Größe 肝臓 ☃ é") == "Größe 肝臓 ☃ é"


def test_plain_data_is_bounded_and_tells_what_is_left_out() -> None:
    data = {"name": "x" * 10**6, "list": list(range(1000)), **{f"key {n}": n for n in range(1000)}}
    found = bounded(data, max_characters=50, max_entries=10)
    assert len(found["name"]) == 50
    assert found["list"] == [*range(10), "… 990 more"]
    assert found["…"] == "992 more"
    assert len(json.dumps(found)) < 1000


def test_nesting_is_bounded() -> None:
    deep: object = "x"
    for _ in range(5000):
        deep = [deep]
    assert len(json.dumps(bounded(deep))) < 100


def test_a_name_for_a_case_is_printable_ascii_and_never_empty() -> None:
    assert ascii_name("Größe\n", "volume") == "Gr??e?"
    assert ascii_name("", "volume") == "volume"
    assert len(ascii_name("x" * 10**6, "volume")) == 200
