"""What a terminal shows of a recording."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from CRLMSegmentationLib.cli import recording_progress
from CRLMSegmentationLib.cli.recording_progress import display, line_of, record_case, recover_case, text_of
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.recording.link_recorder import Account
from helpers.recording_helpers import Sender, pose, stream_of_messages, volume, write_recording
from rich.console import Console

ACCOUNT = Account(
    folder=Path("recording"),
    address="127.0.0.1:18944",
    elapsed_s=83.0,
    state=LinkState.CONNECTED,
    reason="",
    messages=30000,
    volumes=83,
    recorded_bytes=2_250_000_000,
    bytes_per_s=27.1e6,
    rates_hz={"ProbeToReference": 60.0, "recvol_Reference": 1.0, "[red]Pedal": 0.0},
    free_bytes=75_000_000_000,
    left_s=2767.0,
    lost={},
    unreadable=0,
    reconnections=0,
    problem="",
)


def test_account_says_what_comes_and_for_how_long_there_is_room() -> None:
    text = text_of(ACCOUNT).plain
    assert "01:23  connected to 127.0.0.1:18944" in text
    assert "30000 messages, 83 volumes, 2.2 GB at 27.1 MB/s; 75.0 GB free, enough for 46 min" in text
    assert "60.0 Hz  ProbeToReference" in text
    assert "0.0 Hz  [red]Pedal" in text
    assert "nothing lost" in text


def test_account_says_what_is_wrong() -> None:
    wrong = replace(
        ACCOUNT,
        state=LinkState.RETRYING,
        reason="nothing listens there",
        lost={"checksum wrong": 3},
        unreadable=1,
        reconnections=2,
        problem="checksum wrong: IMAGE\n\x1b[2J",
        left_s=None,
    )
    text = text_of(wrong).plain
    assert "retrying to 127.0.0.1:18944 (nothing listens there), link lost and found again 2 times" in text
    assert "3 lost: checksum wrong; 1 unreadable" in text
    assert "\x1b" not in text
    assert "enough for" not in text
    assert "lost 3" in line_of(wrong)


def test_many_devices_do_not_fill_the_screen() -> None:
    many = replace(ACCOUNT, rates_hz={f"Device{n}": 1.0 for n in range(64)})
    assert len(text_of(many).plain.splitlines()) < 20
    assert "and 52 more devices" in text_of(many).plain


def test_without_a_terminal_there_is_a_line_now_and_then() -> None:
    out = io.StringIO()
    with display(Console(file=out)) as shown:
        for number in range(20):
            shown.account(ACCOUNT)
            shown.progress("Volumes", number, 20)
    assert out.getvalue() == line_of(ACCOUNT) + "\n"


def test_on_a_terminal_the_account_is_drawn_over_itself_and_notes_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording_progress, "DRAWN_EVERY_S", 0.0)
    out = io.StringIO()
    with display(Console(file=out, force_terminal=True, width=100)) as shown:
        shown.account(ACCOUNT)
        shown.note("recording into [red]here")
        shown.account(replace(ACCOUNT, messages=30001))
        shown.progress("Hash (MB)", 3, 2250)
    assert "30001 messages" in out.getvalue()
    assert "recording into [red]here" in out.getvalue()
    assert "Making a case of it: Hash (MB), 3 of 2250" in out.getvalue()


def test_command_tells_where_it_records_to_and_what_came_of_it(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with Sender(stream_of_messages(volume_every=10), per_s=100) as sender:
        lines = record_case("127.0.0.1", sender.port, tmp_path / "r", max_gb=1e-3)
    said = capfd.readouterr().err
    assert re.search(rf"^Recording .*{sender.port} into .*r; end with Ctrl-C", said)
    assert re.search(r"r: \d+ messages, \d volumes, \d\.\d s, 1\.\d MB$", lines[0])
    with pytest.raises(LinkError, match="nothing came"):
        record_case("127.0.0.1", 1, tmp_path / "nothing", duration_s=0.2)


def test_recover_command_says_how_much_was_kept(tmp_path: Path) -> None:
    write_recording(tmp_path, [pack(pose(), 2), pack(volume(), 2)])
    (line,) = recover_case(tmp_path)
    assert "is a case now: 2 messages, 1 volume" in line
