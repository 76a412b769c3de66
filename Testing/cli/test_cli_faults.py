"""What a terminal shows of errors that were not foreseen, of foreign text, and of characters that it cannot show."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from CRLMSegmentationLib.cli import main
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.recording.case import Case


@pytest.fixture
def copied(sample: Case, tmp_path: Path) -> Path:
    """A sample case to be changed."""
    return Path(shutil.copytree(sample.folder, tmp_path / "case"))


def change_case(folder: Path, **changes: object) -> None:
    path = folder / "case.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def main_with(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(_arguments: object) -> None:
        raise error

    monkeypatch.setattr("CRLMSegmentationLib.cli.commands.app", fails)
    monkeypatch.setattr(sys, "argv", ["crlm-seg", "info"])
    main.main()


def test_a_fault_of_the_program_is_one_line_with_the_place_of_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main_with(monkeypatch, KeyError("seed_ras_mm"))
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 1
    assert main.FAULT in line
    assert "KeyError" in line
    kept = Path(re.search(r"\S+crlm-seg-fault-\S+\.txt", line).group())
    assert "Traceback" in kept.read_text()


def test_foreign_text_in_an_error_neither_drives_the_terminal_nor_fills_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main_with(monkeypatch, CrlmError("bad name \x1b[2J\u202e" + "x" * 10**6))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    assert len(line) <= main.MAX_ERROR_CHARACTERS


def test_a_terminal_that_lacks_a_character_gets_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    main._escape_unprintable()
    print("Größe")
    narrow.flush()
    assert narrow.buffer.getvalue().strip() == b"Gr\\xf6\\xdfe"


def test_info_cuts_what_a_case_says_of_itself(copied: Path, crlm_seg) -> None:
    source = {
        "kind": "simulated",
        "note": "x" * 50_000,
        "\x1b[2Jname": "\x1b]0;title\x07",
        **{f"k{n}": n for n in range(5000)},
    }
    change_case(copied, source=source)
    done = crlm_seg("info", copied)
    assert done.code == 0
    assert len(done.out) < 10_000
    assert all(line.isprintable() for line in done.out.splitlines())
    as_json = crlm_seg("info", copied, "--json")
    assert len(as_json.out) < 20_000
    assert json.loads(as_json.out)["source"]["…"].endswith(" more")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[" * 100_000, "more than 64 deep"),
        (b"\xff\xfe{\x00}\x00", "text in UTF-16, expected UTF-8"),
        (b'{"case_id": "\xe9"}', "not UTF-8"),
        (b"", "not valid JSON"),
        (b'{"a": 1, "a": 2}', "given twice"),
    ],
)
@pytest.mark.parametrize(
    "command", [("info",), ("replay", "--port", "0"), ("rerun",), ("reconstruct", "--out", "o.nrrd")]
)
def test_a_damaged_case_is_one_line_and_exit_code_one(copied: Path, crlm_seg, command, data: bytes, words: str) -> None:
    (copied / "case.json").write_bytes(data)
    done = crlm_seg(command[0], copied, *command[1:])
    assert done.code == 1
    (line,) = done.error_lines
    assert "case.json cannot be read" in line
    assert words in line


def test_a_case_with_a_byte_order_mark_is_read(copied: Path, crlm_seg) -> None:
    path = copied / "case.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert crlm_seg("info", copied).code == 0
