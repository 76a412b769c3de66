"""Builds the C++ peer and runs it at the other end of a link."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from .paths import TESTING

SOURCES = TESTING / "igtl_peer"
BUILD_TIMEOUT_S = 600.0
RUN_TIMEOUT_S = 240.0
ADVICE = "the C++ peer cannot be built: {}; apt-get install libopenigtlink-dev g++"


class PeerAbsentError(Exception):
    """No compiler or no library here: says what to install."""


def build_peer(folder: Path) -> Path:
    """Configure and build into a folder; a few seconds.

    Raises:
        PeerAbsentError: the machine lacks compiler, CMake or library.
        RuntimeError: its sources do not build.
    """
    cmake = shutil.which("cmake", path=str(Path(sys.executable).parent)) or shutil.which("cmake")
    if cmake is None or shutil.which("c++") is None:
        raise PeerAbsentError(ADVICE.format("no CMake or no C++ compiler"))
    configured = _run(cmake, "-S", SOURCES, "-B", folder, "-DCMAKE_BUILD_TYPE=Release")
    if "OpenIGTLink is absent" in configured.stderr:
        raise PeerAbsentError(ADVICE.format("no OpenIGTLink library"))
    built = _run(cmake, "--build", folder, "--parallel", "2") if configured.returncode == 0 else configured
    if built.returncode:
        raise RuntimeError(f"the C++ peer does not build:\n{built.stdout}\n{built.stderr}")
    return folder / "igtl_peer"


def _run(*command: object) -> subprocess.CompletedProcess:
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)


class CppPeer:
    """One run of the peer, killed at the end of the `with` block.

    Args:
        program: as `build_peer` gives it.
        action: the words after the address, such as "receive", 1.
        lines: what to send, see README.md.
        port: of the server to connect to; None listens, then `port` tells where.
    """

    def __init__(self, program: Path, *action: object, lines: list[str] | None = None, port: int | None = None) -> None:
        address = ["listen", "0"] if port is None else ["connect", "127.0.0.1", str(port)]
        command = [str(program), *address, *map(str, action)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        self._process.stdin.write("\n".join(lines or []))
        self._process.stdin.close()
        self._process.stdin = None
        self.port = json.loads(self._process.stdout.readline())["port"] if port is None else port

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def finish(self) -> tuple[int, list[dict], str]:
        """Exit code, what it has printed, and its complaint."""
        out, errors = self._process.communicate(timeout=RUN_TIMEOUT_S)
        return self._process.returncode, [json.loads(line) for line in out.splitlines()], errors.strip()

    def __enter__(self) -> CppPeer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
