"""Feeds mutated messages to the decoder, and through sockets to the client and the server.

    cd Testing && python -m fuzz.fuzz_igtl --messages 100000 --seconds 120 --seed 1

What must hold: only errors of this project, and none that leaves `poll`; no step longer than a second; no memory
that grows; the next good message is received, on a new connection where the framing was lost. Prints an account by
reason. Exit code 1 and the bytes that did it when something does not hold.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import socket
import sys
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from CRLMSegmentationLib.core.errors import CrlmError, LinkError
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.link import LinkState
from CRLMSegmentationLib.igtl.messages import ImageMessage, Message, TransformMessage, volume_of
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.protocol import Decoder
from CRLMSegmentationLib.igtl.server import IgtlServer
from CRLMSegmentationLib.igtl.statistics import LinkStatistics
from helpers.mutations import Mutator

MAX_STEP_S = 1.0
RECEIVE_LIMIT_S = 10.0
TRACED_PART = (0.3, 0.5)
"""Part of the run, after a warm-up, in which Python's memory is watched; that takes time."""
MAX_GROWTH_BYTES, MAX_RSS_GROWTH_BYTES = 1 << 20, 32 << 20
SOCKET_SHARE = 0.02
"""Of the messages also go through a client's, and as many through a server's socket."""
HURRY = 20
"""Clocks of client and server run so much faster, so that they connect, and let in, without the usual pauses."""
GOOD_DEVICE = "NextGood"
GOOD = pack(TransformMessage(GOOD_DEVICE, 1_700_000_001.0, np.eye(4)), 2)


class BrokenError(AssertionError):
    """Something that must hold does not."""


@dataclass
class Account:
    """What has become of the messages."""

    messages: int = 0
    delivered: Counter = field(default_factory=Counter)
    framing_lost: int = 0
    longest_step_s: float = 0.0
    through_client: int = 0
    through_server: int = 0
    memory_growth_bytes: int = 0
    rss_growth_bytes: int = 0
    dropped: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)

    def step(self, what: Callable[[], list[Message]]) -> list[Message]:
        """Do something that must not take long; by the processor's time, since others use this machine too."""
        start_s = time.thread_time()
        try:
            return what()
        finally:
            self.longest_step_s = max(self.longest_step_s, time.thread_time() - start_s)

    def lines(self) -> list[str]:
        """For people."""
        rows = [("messages", self.messages), ("connection ended by it", self.framing_lost)]
        rows += [("dropped: " + name, count) for name, count in self.dropped.most_common()]
        rows += [(f"unknown types ({len(self.skipped)} names)", sum(self.skipped.values()))]
        rows += [("delivered: " + name, count) for name, count in self.delivered.most_common()]
        rows += [("of these through a client", self.through_client), ("through a server", self.through_server)]
        rows += [("longest step, ms", round(1000 * self.longest_step_s, 1))]
        rows += [("growth of Python's memory after warm-up, kB", self.memory_growth_bytes // 1024)]
        rows += [("growth of the process after warm-up, kB", self.rss_growth_bytes // 1024)]
        return [f"{count:>10}  {name}" for name, count in rows]


def hurried_s() -> float:
    return HURRY * time.monotonic()


class DecoderTarget:
    """One decoder after the other, fed in pieces."""

    def __init__(self, account: Account) -> None:
        self._account, self._statistics = account, LinkStatistics()
        self._decoder = Decoder(statistics=self._statistics)

    def take(self, pieces: list[bytes]) -> None:
        """Feed a mutated message and a good one behind it, on a new connection where the first has ended it."""
        got: list[Message] = []
        try:
            for piece in (*pieces, GOOD):
                got += self._account.step(lambda piece=piece: self._decoder.feed(piece))
            if self._decoder.unfinished:  # more was declared than came: the peer would hang up
                self._begin_anew()
        except LinkError:
            self._account.framing_lost += 1
            self._begin_anew()
        for message in got:
            self._use(message)
        if not self._decoder.unfinished and not (got and got[-1].device == GOOD_DEVICE):
            got += self._decoder.feed(GOOD)
            if [m.device for m in got[-1:]] != [GOOD_DEVICE]:
                raise BrokenError("the good message behind it did not come")

    def finish(self) -> None:
        self._account.dropped, self._account.skipped = self._statistics.dropped, self._statistics.skipped

    def _begin_anew(self) -> None:
        self._decoder = Decoder(statistics=self._statistics)

    def _use(self, message: Message) -> None:
        """Do what a session does with it."""
        self._account.delivered[type(message).__name__] += 1
        if isinstance(message, ImageMessage):
            try:
                self._account.step(lambda: [volume_of(message)])
            except CrlmError:
                self._account.delivered["... of these no volume to segment"] += 1


class ClientTarget:
    """A hostile server and the client that connects to it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(RECEIVE_LIMIT_S)
        port = self._listener.getsockname()[1]
        self._client = IgtlClient("127.0.0.1", port, clock=hurried_s)
        self._peer: socket.socket | None = None
        self._expected_bytes = 0

    def take(self, pieces: list[bytes]) -> None:
        """Send a mutated message and a good one; if that does not come, hang up and send it on a new connection."""
        if self._peer is None:
            self._connect()
        for piece in pieces:
            self._send(piece)
            self._account.step(self._client.poll)
        self._send(GOOD)
        if not self._comes_good():
            self._hang_up()
            self._connect()
            self._send(GOOD)
            if not self._comes_good():
                raise BrokenError(f"the client did not recover: {self._client.state_reason}")
        self._account.through_client += 1

    def close(self) -> None:
        self._client.close()
        self._hang_up()
        self._listener.close()

    def _connect(self) -> None:
        epoch = self._client.epoch
        self._poll_until(lambda: self._client.epoch > epoch or self._client.state is LinkState.CONNECTED)
        self._peer, _ = self._listener.accept()
        self._expected_bytes = self._client.statistics.received_bytes
        self._peer.settimeout(RECEIVE_LIMIT_S)

    def _send(self, data: bytes) -> None:
        try:
            self._peer.sendall(data)
        except OSError:
            return  # the client has hung up, as it may
        self._expected_bytes += len(data)

    def _comes_good(self) -> bool:
        """Whether the good message arrives, before the client hangs up or waits for more than was sent."""
        end_s = time.monotonic() + RECEIVE_LIMIT_S
        while time.monotonic() < end_s and self._client.state is LinkState.CONNECTED:
            if any(m.device == GOOD_DEVICE for m in self._account.step(self._client.poll)):
                return True
            if self._client.statistics.received_bytes >= self._expected_bytes:
                return False
        return False

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None
            self._poll_until(lambda: self._client.state is not LinkState.CONNECTED)

    def _poll_until(self, done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + RECEIVE_LIMIT_S
        while not done() and self._client.state is not LinkState.CLOSED:
            if time.monotonic() > end_s:
                raise BrokenError(f"the client does not get there: {self._client.state_reason}")
            self._account.step(self._client.poll)


class ServerTarget:
    """Hostile clients of a server, beside a good one that must not notice anything."""

    def __init__(self, account: Account) -> None:
        self._account, self._server = account, IgtlServer(clock=hurried_s)
        self._good = IgtlClient("127.0.0.1", self._server.port)
        self._sent = 0
        self._poll_until(lambda: len(self._server.clients) == 1)

    def take(self, pieces: list[bytes]) -> None:
        """Connect, send, hang up; then a broadcast must reach the good client."""
        connections = self._server.statistics.connections
        with socket.create_connection((self._server.host, self._server.port)) as sock:
            sock.settimeout(RECEIVE_LIMIT_S)
            self._poll_until(lambda: self._server.statistics.connections > connections)
            for piece in pieces:
                try:
                    sock.sendall(piece)
                except OSError:
                    break
                self._account.step(self._server.poll)
        self._sent += 1
        self._server.broadcast(TransformMessage(GOOD_DEVICE, float(self._sent), np.eye(4)))
        self._poll_until(lambda: self._newest_s == self._sent)
        self._account.through_server += 1

    def close(self) -> None:
        self._good.close()
        self._server.close()

    _newest_s = 0.0

    def _poll_until(self, done: Callable[[], bool]) -> None:
        end_s = time.monotonic() + RECEIVE_LIMIT_S
        while not done():
            if time.monotonic() > end_s:
                raise BrokenError("the server did not serve its good client")
            self._account.step(self._server.poll)
            for message in self._good.poll():
                self._newest_s = message.timestamp_s


def fuzz(messages: int, seconds: float, seed: int) -> Account:
    """Run until so many messages or so much time have passed.

    Raises:
        BrokenError: something does not hold; the text has what is needed to see it again.
    """
    mutator, account = Mutator(seed), Account()
    targets = [ClientTarget(account), ServerTarget(account)]
    decoder = DecoderTarget(account)
    meter = _MemoryMeter()
    end_s = time.monotonic() + seconds
    every = max(1, round(1 / SOCKET_SHARE))
    try:
        while account.messages < messages and time.monotonic() < end_s:
            data = mutator.message()
            pieces = mutator.split(data)
            account.messages += 1
            _try(decoder, pieces, data, seed, account)
            if account.messages % every in (0, every // 2):
                _try(targets[account.messages % every == 0], pieces, data, seed, account)
            done = max(account.messages / messages, 1 - (end_s - time.monotonic()) / seconds)
            meter.look(done)
        account.memory_growth_bytes, account.rss_growth_bytes = meter.growth()
    finally:
        for target in targets:
            target.close()
    decoder.finish()
    if account.memory_growth_bytes > MAX_GROWTH_BYTES or account.rss_growth_bytes > MAX_RSS_GROWTH_BYTES:
        grown = f"{account.memory_growth_bytes}, that of the process by {account.rss_growth_bytes}"
        raise BrokenError(f"memory grew by {grown} bytes (seed {seed})")
    return account


class _MemoryMeter:
    """Python's own memory (numpy's included) over a part of the run, and the process's from there to the end."""

    def __init__(self) -> None:
        self._before: tuple[int, int] | None = None
        self._grown: int | None = None

    def look(self, done: float) -> None:
        if self._before is None and done >= TRACED_PART[0]:
            tracemalloc.start()
            self._before = self._now(), rss_bytes()
        elif self._before is not None and self._grown is None and done >= TRACED_PART[1]:
            self._grown = self._now() - self._before[0]
            tracemalloc.stop()

    def growth(self) -> tuple[int, int]:
        """What Python holds more, what the process holds more; bytes."""
        return self._grown or 0, max(0, rss_bytes() - self._before[1]) if self._before else 0

    def _now(self) -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]


def rss_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _try(target: object, pieces: list[bytes], data: bytes, seed: int, account: Account) -> None:
    try:
        target.take(pieces)
        if account.longest_step_s > MAX_STEP_S:
            raise BrokenError(f"a step took {account.longest_step_s:.1f} s")
    except Exception as error:
        sizes = [len(piece) for piece in pieces]
        where = f"message {account.messages} of seed {seed} at {type(target).__name__}, in pieces of {sizes}"
        raise BrokenError(f"{type(error).__name__}: {error}\n{where}:\n{data[:4000].hex()}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="stop after this time in any case")
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same messages")
    arguments = parser.parse_args()
    seed = int(time.time()) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    warnings.simplefilter("error")
    logging.disable(logging.WARNING)
    start_s = time.monotonic()
    try:
        account = fuzz(arguments.messages, arguments.seconds, seed)
    except BrokenError as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    print("\n".join(account.lines()))
    print(f"{time.monotonic() - start_s:>10.1f}  seconds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
