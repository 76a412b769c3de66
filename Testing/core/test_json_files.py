"""JSON from files: what is read, what is refused with which words, and that nothing else reads JSON."""

from __future__ import annotations

import ast
import io
import json
import os
from pathlib import Path

import pytest
from CRLMSegmentationLib.core.errors import CaseError, CrlmError, JsonError
from CRLMSegmentationLib.core.json_fields import (
    DEVICE,
    FILE,
    LABEL,
    MATRIX,
    NAME,
    POINT,
    SHAPE,
    TIME,
    check_object,
    is_file_name,
)
from CRLMSegmentationLib.core.json_files import (
    Damage,
    JsonLimits,
    json_lines,
    parse_json,
    read_json,
    read_json_object,
    shown,
)
from helpers.paths import LIBRARY

BORDERS = {
    "segmentation/models/importer.py": "options from the program, and the answer of its own process",
    "reports/page_process.py": "a file that the program writes for its own process",
}
"""Who else may parse JSON: none of them reads a file from elsewhere."""


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        ('{"größe": "☃"}'.encode(), {"größe": "☃"}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"[" * 64 + b"]" * 64, json.loads("[" * 64 + "]" * 64)),
        (('["' + "[{" * 1000 + '"]').encode(), ["[{" * 1000]),
        (b'["a\\"[", 1]', ['a"[', 1]),
        (b"-123456789012345678", -123456789012345678),
    ],
)
def test_valid_json_is_read_with_or_without_a_byte_order_mark(data: bytes, value: object) -> None:
    assert parse_json(data) == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 100_000, "in each other more than 64 deep"),
        (b'{"a":' * 100_000, "in each other more than 64 deep"),
        (b"[" * 100_000 + b"]" * 100_000, "in each other more than 64 deep"),
        (b'{"a": {"b": [1, NaN]}}', r"a\.b\[1\] must be a finite number, got NaN"),
        (b'{"a": -Infinity}', "a must be a finite number, got -Infinity"),
        (b'{"a": 1e999}', "a must be a finite number, got Infinity"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a must be a number of up to 18 digits, got 5000 digits"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' is given twice"),
        (b'{"a": "x\\u0000y"}', "a holds the character NUL"),
        (b'{"x\\u0000y": 1}', "holds the character NUL"),
        (b'{"a": ["\\ud800"]}', r"a\[0\] holds the character half of a surrogate pair"),
        (b'{"a": "x\x00y"}', "not valid JSON: Invalid control character"),
        (b'{"a": "' + b"x" * 200_000 + b'"}', "a must be a text of up to 100,000 characters, got 200,000"),
        (b'{"a": "\xe9"}', "not UTF-8: byte 0xe9 at 7; save it as UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "text in UTF-16, expected UTF-8"),
        ('{"a": 1}'.encode("utf-32"), "text in UTF-32, expected UTF-8"),
        (b"\0" * 100, "it is no text, expected UTF-8"),
        (b"", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'["' + b'\\"' * 100_000, "not valid JSON: Unterminated string"),
    ],
)
def test_what_nobody_can_use_is_refused_with_its_place_and_the_reason(data: bytes, words: str) -> None:
    with pytest.raises(JsonError, match=words) as refused:
        parse_json(data)
    assert len(str(refused.value)) < 500


def test_size_and_number_of_values_are_bounded_before_anything_is_made() -> None:
    with pytest.raises(JsonError, match="more than 100 bytes"):
        parse_json(b"[" + b" " * 100, JsonLimits(size_bytes=100))
    with pytest.raises(JsonError, match="more than 50 values"):
        parse_json(b"[" + b"0," * 60 + b"0]", JsonLimits(values=50))
    with pytest.raises(JsonError, match="more than 50 values"):
        parse_json(b"[" + b"[]," * 30 + b"0]", JsonLimits(values=50))


def test_error_names_the_file_and_what_to_do_and_is_of_the_wanted_class(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("[1]")
    with pytest.raises(CaseError, match=r"x\.json cannot be read: expected an object .*, got \[1\]; restore it"):
        read_json_object(path, CaseError, "restore it")
    path.write_text("{")
    with pytest.raises(CaseError, match=r"x\.json cannot be read: it is not valid JSON: .*; copy it again"):
        read_json(path, CaseError)
    with pytest.raises(CrlmError, match="it is a folder, no file; copy it again"):
        read_json(tmp_path)
    with pytest.raises(CrlmError, match="there is no such file or folder"):
        read_json(tmp_path / "none.json")
    with pytest.raises(CrlmError, match="its name is too long"):
        read_json(tmp_path / ("x" * 300))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in a folder are of POSIX")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(CrlmError, match="a pipe or a device"):
        read_json(tmp_path / "x.json")


def lines_of(data: bytes, **limits: int) -> list[tuple]:
    return [
        (n, value, bool(problem), cut) for n, value, problem, cut in json_lines(io.BytesIO(data), JsonLimits(**limits))
    ]


def test_a_broken_line_costs_that_line() -> None:
    data = b'{"a": 1}\nrubbish\n\n' + b"[" * 100_000 + b'\n"\xff"\n{"a": 2}\n'
    assert lines_of(data) == [
        (1, {"a": 1}, False, False),
        (2, None, True, False),
        (4, None, True, False),
        (5, None, True, False),
        (6, {"a": 2}, False, False),
    ]


def test_a_last_line_without_an_end_is_cut_off_unless_it_is_whole() -> None:
    assert lines_of(b'1\n{"a": 1')[-1] == (2, None, True, True)
    assert lines_of(b'1\n{"a": 1}')[-1] == (2, {"a": 1}, False, False)


def test_a_line_without_end_is_passed_over_in_pieces() -> None:
    data = b"1\n" + b"x" * 5_000_000 + b"\n2\n" + b"y" * 1000
    assert lines_of(data, size_bytes=100) == [
        (1, 1, False, False),
        (2, None, True, False),
        (3, 2, False, False),
        (4, None, True, True),
    ]


def test_damage_counts_lines_and_tells_the_first() -> None:
    damage = Damage()
    for line in json_lines(io.BytesIO(b"x\n1\ny\n{")):
        if line.problem:
            damage.add(line)
    assert damage.count == 2
    text = damage.sentence("events.jsonl")
    assert text.startswith("2 lines of events.jsonl cannot be used and are left out; the first is line 1: ")
    assert text.endswith("the last line of events.jsonl is cut off and is left out")
    assert Damage().sentence("x") == ""


def test_a_shown_value_is_one_short_printable_line() -> None:
    assert shown(None) == "null"
    assert shown(float("nan")) == "NaN"
    assert len(shown(["x" * 10**6] * 1000)) <= 60
    assert shown("\x1b[2J\u202e").isprintable()
    assert shown({"a": object}).isprintable()


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "./x",
        "a//b",
        "C:x",
        "C:\\x",
        "a\\b",
        "a\nb",
        "\x1b",
        "x" * 256,
        "é" * 200,
        3,
    ],
)
def test_a_name_that_could_lead_elsewhere_is_no_file_of_a_folder(name: object) -> None:
    assert not is_file_name(name)


def test_a_name_of_a_file_in_a_folder_may_have_folders_and_letters() -> None:
    assert all(map(is_file_name, ["volume.nrrd", "volumes/0001-Tumour-1.nrrd", "größe.nrrd", "a b.nrrd", ".hidden"]))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (TIME, 1e300), (TIME, -1.0), (TIME, 2.0**32 + 1), (TIME, True), (TIME, "1"),
        (POINT, [0, 0]), (POINT, [0, 0, 1e300]), (POINT, [0, 0, None]), (POINT, "abc"),
        (MATRIX, [0] * 15), (MATRIX, [[1, 0, 0, 0]] * 4), (LABEL, 0), (LABEL, 1.0), (LABEL, 2**31),
        (NAME, "a\nb"), (NAME, "x" * 201), (NAME, "\u202eabc"), (NAME, "\x1b[2J"), (DEVICE, "Größe"),
        (SHAPE, [1 << 20] * 3), (SHAPE, [0, 1, 1]), (FILE, "../x"),
    ],
)  # fmt: skip
def test_values_out_of_reason_are_of_no_kind(kind, value) -> None:
    assert not kind.holds(value)
    with pytest.raises(CaseError, match=r"^here\.x must be .*, got ") as refused:
        check_object({"x": value}, {"x": kind}, "here", CaseError)
    assert len(str(refused.value)) < 300


def json_calls_in(path: Path) -> list[str]:
    tree = ast.parse(path.read_text("utf-8"))
    named = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name)]
    return [f"json.{n.attr}" for n in named if n.value.id == "json" and n.attr in ("load", "loads", "JSONDecoder")]


def test_nothing_else_reads_json() -> None:
    readers = {p.relative_to(LIBRARY).as_posix() for p in LIBRARY.rglob("*.py") if json_calls_in(p)}
    assert readers - {"core/json_files.py"} == set(BORDERS)
