"""Runs `crlm-seg` as a terminal does, and finds every process that a run has left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .stub_engine import StubEngine

TIMEOUT_S = 240.0
"""After which something has gone wrong, on a busy machine too."""
MARK = "CRLM_TEST_RUN"


def _heed_signals() -> None:
    """A background shell has the first ignored, nohup the second."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass(frozen=True)
class Done:
    """How a run has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def error_lines(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.strip()]


class Run:
    """A running `crlm-seg`, leading a process group of its own as one started from a terminal does.

    All that it starts inherits a mark in the environment, by which `left` finds it (Linux).
    """

    MODULE = "CRLMSegmentationLib.cli.main"

    def __init__(self, *arguments: object, folder: Path | None = None, **environment: str) -> None:
        self.mark = uuid.uuid4().hex
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", self.MODULE, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
            env={**os.environ, MARK: self.mark, **environment},
            start_new_session=True,
            preexec_fn=_heed_signals,
        )
        self._early = {"out": "", "err": ""}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self.left():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()
        self.process.stderr.close()

    def wait_for_line(self, stream: str, text: str) -> str:
        """Read the lines of "out" or "err" up to one that holds a text."""
        while line := getattr(self.process, f"std{stream}").readline():
            self._early[stream] += line
            if text in line:
                return line
        raise AssertionError(f"no '{text}' in {self._early}, {self.finish()}")

    def wait_for_child(self, text: str) -> int:
        """The process whose command line holds a text, once it is there; fails where the run ends without it."""
        found: list[int] = []
        has_ended = lambda: self.process.poll() is not None  # noqa: E731
        wait_until(
            lambda: bool(found.extend(pid for pid in self.left() if text in command_of(pid)) or found) or has_ended()
        )
        assert found, f"no process of '{text}'; {self.finish() if has_ended() else self._early}"
        return found[0]

    def seconds_so_far(self) -> float:
        return time.monotonic() - self.started_s

    def cpu_seconds(self) -> float:
        """What its processes that are alive have computed so far, which tells how far it is on any machine."""
        return sum(map(cpu_seconds_of, self.left()))

    def press_ctrl_c(self) -> None:
        """What a terminal sends: SIGINT to the whole foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self) -> Done:
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return Done(self.process.returncode, self._early["out"] + out, self._early["err"] + err, self.seconds_so_far())

    def left(self) -> list[int]:
        """The processes of this run that are alive."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._is_mine(pid)]

    def leaves_nothing(self) -> bool:
        """Whether all processes of the run are gone, after the moment that a child needs to notice."""
        return wait_until(lambda: not self.left())

    def _is_mine(self, pid: int) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return f"{MARK}={self.mark}".encode() in environment and state != "Z"


class DarkRun(Run):
    """A `Run` whose worker calls dark voxels tumour and starts without torch, see `dark_worker`."""

    MODULE = "helpers.cli_with_dark_worker"

    def __init__(self, *arguments: object, folder: Path | None = None, **environment: str) -> None:
        here = str(Path(__file__).parents[1])
        super().__init__(*arguments, folder=folder, PYTHONPATH=here, **environment)


def run(*arguments: object, folder: Path | None = None) -> Done:
    """Run `crlm-seg` to its end; nothing may be left."""
    with Run(*arguments, folder=folder) as started:
        done = started.finish()
        assert started.leaves_nothing()
    return done


class InstantEngine(StubEngine):
    """Answers at once; from the given job on it fails."""

    def __init__(self, fails_from: int = 99, takes_points: bool = False) -> None:
        super().__init__(takes_points=takes_points)
        self.fails_from = fails_from

    def poll(self) -> list:
        if self.pending is not None:
            self.fail("the worker was killed") if self.pending >= self.fails_from else self.finish()
        return super().poll()


def cpu_seconds_of(pid: int) -> float:
    try:
        user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0.0
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def maps_of(pid: int) -> str:
    """The libraries that a process has loaded."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return ""


def wait_until(done: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> bool:
    end_s = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.01)
    return True


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def seed_words(seeds: Sequence[Sequence[float]]) -> list[str]:
    return [word for seed in seeds for word in ("--seed", *map(str, seed))]
