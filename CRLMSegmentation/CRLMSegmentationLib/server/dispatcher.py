"""Requests on their way through the server: waiting, handed to a worker, answered once. It lives in the event loop."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from ..segmentation.engine.engine import Cancelled, Event, Failed, Finished, Progress
from ..segmentation.models.package import ModelPackage
from ..segmentation.remote.message_format import Code
from ..segmentation.remote.messages import SegmentRequest, encode_answer, encode_ended, encode_update
from .fair_queue import ClientKey, FairQueue, Waiting
from .metrics import Metrics
from .served_request import Listener, RefusalError, ServedRequest, Ticket, Worker
from .settings import Limits

logger = logging.getLogger(__name__)
MAX_LOSSES = 2
"""Workers that a request may lose before it is given up: it may be what kills them."""
MAX_INTERRUPTIONS = 3
"""Of a request in the background, after which it runs to its end."""
SOFT_CANCEL_S = 30.0
"""A worker is not killed for a cancelled request before: it would be missing to all others while it starts again."""
HARD_CANCEL_S = 1.0
MAX_REMEMBERED = 10_000
"""Lesions of which the newest request is remembered."""


class Dispatcher:
    """Takes requests, gives them to workers in turn, and keeps their answers for a while.

    Args:
        workers: that compute; `handle` gets their events.
    """

    def __init__(self, workers: Sequence[Worker], limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.workers, self.limits, self._loop = list(workers), limits, loop
        self._queue: FairQueue[ServedRequest] = FairQueue(limits.waiting, limits.waiting_of_client)
        self._numbers = itertools.count(1)
        self._by_id: OrderedDict[tuple[ClientKey, str], ServedRequest] = OrderedDict()
        self._by_number: dict[int, ServedRequest] = {}
        self._running: dict[Worker, ServedRequest] = {}
        self._newest: OrderedDict[tuple[ClientKey, int], tuple[int, str]] = OrderedDict()
        self._bytes: dict[str, int] = {}
        self.metrics = Metrics(
            lambda: len(self._queue),
            lambda: sum(not served.has_ended for served in self._running.values()),
            lambda: sum(worker.ready is not None for worker in self.workers),
            lambda: sum(self._bytes.values()),
        )

    # ---- from the HTTP side

    def admit(self, ticket: Ticket) -> ServedRequest | None:
        """Return the request of this id where it was sent before; else check that there is room for it.

        Raises:
            RefusalError: there is none, or a newer request of the same lesion has come.
        """
        known = self._by_id.get((ticket.client, ticket.request_id))
        if known is not None:
            return known
        sequence, _ = self._newest.get((ticket.client, ticket.lesion), (-1, ""))
        if ticket.sequence < sequence:
            raise RefusalError(HTTPStatus.CONFLICT, Code.SUPERSEDED, "a newer request for the same lesion has come")
        if not any(worker.ready for worker in self.workers):
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, Code.BUSY, "no worker is ready", 5.0)
        if self._queue.is_full_for(ticket.client) and not self._replaces_waiting(ticket):
            raise RefusalError(HTTPStatus.TOO_MANY_REQUESTS, Code.BUSY, "too many requests of this client wait", 1.0)
        if self._queue.is_full():
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, Code.BUSY, "too many requests wait", 1.0)
        name, size = ticket.client.name, ticket.size_bytes
        of_client = self._bytes.get(name, 0)
        if of_client and of_client + size > self.limits.bytes_in_flight // 4:
            raise RefusalError(HTTPStatus.TOO_MANY_REQUESTS, Code.BUSY, "too much of this client is under way", 1.0)
        if sum(self._bytes.values()) + size > self.limits.bytes_in_flight:
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, Code.BUSY, "too much is under way", 1.0)
        self._remember_newest(ticket)
        return None

    def reserve(self, ticket: Ticket) -> None:
        """Count the body of a request that is about to be received."""
        self._bytes[ticket.client.name] = self._bytes.get(ticket.client.name, 0) + ticket.size_bytes

    def release(self, ticket: Ticket) -> None:
        """Count a body no longer."""
        left = self._bytes.get(ticket.client.name, 0) - ticket.size_bytes
        if left > 0:
            self._bytes[ticket.client.name] = left
        else:
            self._bytes.pop(ticket.client.name, None)

    def accept(self, ticket: Ticket, body_sha256: str, request: SegmentRequest) -> ServedRequest:
        """Queue a request; its body stays counted until it has ended.

        Raises:
            RefusalError: no model of this hash is here, or the request was superseded while its body came.
        """
        if request.model_sha256 not in self._models():
            names = ", ".join(f"{w.package.name} {w.package.version}" for w in self.workers)
            raise RefusalError(HTTPStatus.CONFLICT, Code.MODEL, f"this server has other models: {names}")
        sequence, _ = self._newest.get((ticket.client, ticket.lesion), (-1, ""))
        if ticket.sequence < sequence:
            raise RefusalError(HTTPStatus.CONFLICT, Code.SUPERSEDED, "a newer request for the same lesion has come")
        served = ServedRequest(ticket, next(self._numbers), body_sha256, request, self._loop.time())
        self._supersede(served)
        self._by_id[ticket.client, ticket.request_id] = self._by_number[served.number] = served
        self.reserve(ticket)
        self._queue.add(self._waiting_of(served))
        served.timers.append(self._loop.call_later(self.limits.job_s, self._end_late, served))
        self._dispatch()
        return served

    def attach(self, served: ServedRequest) -> Listener:
        """Return a listener that gets the answer from now on; one that was attached before gets no more."""
        if served.listener is not None:
            served.listener.replace()
        served.listener = listener = Listener()
        if served.end is not None:
            listener.put_end(served.end)
        elif served.progress is not None:
            listener.put_progress(served.progress)
        return listener

    def detach(self, served: ServedRequest, listener: Listener) -> None:
        """A connection has ended. Where no other takes its place, the request ends after a while."""
        if served.listener is not listener:
            return
        served.listener = None
        if not served.has_ended:
            wait_s = self.limits.disconnected_s
            served.timers.append(self._loop.call_later(wait_s, self._end_unheard, served))

    def cancel(self, client: ClientKey, request_id: str) -> bool:
        """Cancel a request; returns whether it was known."""
        served = self._by_id.get((client, request_id))
        if served is None:
            return False
        self._end_early(served, Code.CANCELLED, "cancelled by the client")
        return True

    def waiting_update(self, served: ServedRequest) -> bytes:
        """Return what is told to a client that waits."""
        return encode_update("waiting", ahead=self._queue.ahead_of(served))

    def close(self) -> None:
        """End all requests, so that their connections end."""
        for served in list(self._by_number.values()):
            self._end_early(served, Code.LOST, "the server is being stopped")

    # ---- from the workers

    def handle_in_thread(self, worker: Worker, event: Event) -> None:
        """Handle an event of a worker; called from its thread. Answers are encoded there, not in the event loop."""
        data = b""
        served = self._by_number.get(event.job_id) if isinstance(event, Finished) else None
        if isinstance(event, Finished) and served is not None:
            now_s, started_s = self._loop.time(), served.started_s or served.received_s
            queue_s, server_s = started_s - served.received_s, now_s - served.received_s
            ids = (served.ticket.request_id, served.body_sha256, served.request.model_sha256)
            data = encode_answer(event, *ids, served.request.wanted, queue_s, server_s)
        try:
            self._loop.call_soon_threadsafe(self._handle, worker, event, data)
        except RuntimeError:
            logger.info("an event of a worker came after the server had ended")

    def _handle(self, worker: Worker, event: Event, data: bytes) -> None:
        number = getattr(event, "job_id", None)
        served = self._by_number.get(number or 0)
        if served is not None and served.worker is worker and not served.has_ended:
            if isinstance(event, Progress):
                served.progress = encode_update("progress", stage=event.stage, done=event.done, total=event.total)
                if served.listener is not None:
                    served.listener.put_progress(served.progress)
                return
            if isinstance(event, Finished):
                self.metrics.server_s.observe(self._loop.time() - served.received_s)
                self.metrics.sent.inc(len(data))
                self._end(served, "finished", data)
            elif isinstance(event, Failed):
                self._handle_failure(served, event)
            elif isinstance(event, Cancelled):  # it gave way to another
                self._requeue(served)
        if isinstance(event, (Finished, Failed, Cancelled)) and number is not None:
            current = self._running.get(worker)
            if current is not None and current.number == number:
                del self._running[worker]
        self._dispatch()

    def _handle_failure(self, served: ServedRequest, event: Failed) -> None:
        if not event.is_lost:
            self._end_with(served, "failed", Code.INPUT, event.reason)
            return
        self.metrics.lost.inc()
        served.losses += 1
        logger.warning("a worker was lost: %s", event.reason)
        if served.losses >= MAX_LOSSES:
            self._end_with(served, "failed", Code.LOST, f"its worker was lost {served.losses} times")
        else:
            self._requeue(served)

    # ---- inside

    def _models(self) -> Mapping[str, ModelPackage]:
        return {worker.package.sha256: worker.package for worker in self.workers}

    def _waiting_of(self, served: ServedRequest) -> Waiting[ServedRequest]:
        ticket = served.ticket
        return Waiting(served, ticket.client, served.request.model_sha256, ticket.is_background)

    def _requeue(self, served: ServedRequest) -> None:
        served.worker = served.started_s = served.progress = None
        self._queue.add(self._waiting_of(served), is_first=True)

    def _dispatch(self) -> None:
        """Give what waits to workers that are free, and interrupt what is in the background for what is not."""
        for worker in self.workers:
            if worker.ready is None:
                continue
            running = self._running.get(worker)
            is_free = running is None or running.has_ended
            may_interrupt = running is not None and self._may_be_interrupted(running)
            if not is_free and not may_interrupt:
                continue
            waiting = self._queue.pop({worker.package.sha256}, background=is_free)
            if waiting is None:
                continue
            if running is not None and not running.has_ended:
                running.interruptions += 1
            served = waiting.item
            served.worker, served.started_s = worker, self._loop.time()
            self._running[worker] = served
            self.metrics.queue_s.observe(served.started_s - served.received_s)
            worker.submit(served.number, served.request.job)

    def _may_be_interrupted(self, running: ServedRequest) -> bool:
        return running.ticket.is_background and running.interruptions < MAX_INTERRUPTIONS

    def _replaces_waiting(self, ticket: Ticket) -> bool:
        """Whether a request takes the place of one that waits, so that no more wait than before."""
        _, request_id = self._newest.get((ticket.client, ticket.lesion), (-1, ""))
        older = self._by_id.get((ticket.client, request_id))
        return older is not None and not older.has_ended and older.worker is None

    def _remember_newest(self, ticket: Ticket) -> None:
        key = (ticket.client, ticket.lesion)
        _, request_id = self._newest.pop(key, (-1, ""))
        self._newest[key] = (ticket.sequence, request_id)
        while len(self._newest) > MAX_REMEMBERED:
            self._newest.popitem(last=False)

    def _supersede(self, served: ServedRequest) -> None:
        """End the older requests of the same client and lesion."""
        ticket = served.ticket
        for older in list(self._by_number.values()):
            if older.ticket.client == ticket.client and older.ticket.lesion == ticket.lesion:
                self._end_early(older, Code.SUPERSEDED, "a newer request for the same lesion has come")
        self._newest[ticket.client, ticket.lesion] = (ticket.sequence, ticket.request_id)

    def _end_late(self, served: ServedRequest) -> None:
        if not served.has_ended:
            worker = served.worker
            self._end_with(served, "failed", Code.TIME_LIMIT, f"no answer within {self.limits.job_s:.0f} s")
            if worker is not None:
                worker.cancel(served.number, HARD_CANCEL_S)

    def _end_unheard(self, served: ServedRequest) -> None:
        if served.listener is None:
            self._end_early(served, Code.CANCELLED, "its connection was lost")

    def _end_early(self, served: ServedRequest, code: Code, reason: str) -> None:
        if served.has_ended:
            return
        worker = served.worker
        self._end_with(served, "cancelled", code, reason)
        if worker is not None:
            worker.cancel(served.number, SOFT_CANCEL_S)

    def _end_with(self, served: ServedRequest, kind: str, code: Code, reason: str) -> None:
        self._end(served, code.value, encode_ended(kind, served.ticket.request_id, code, reason))

    def _end(self, served: ServedRequest, outcome: str, end: bytes) -> None:
        """End a request: its listener gets the last part, which is kept for a while for a client that asks again."""
        served.end = end
        for timer in served.timers:
            timer.cancel()
        served.timers = [self._loop.call_later(self.limits.kept_s, self._forget, served)]
        self._queue.remove(served)
        del self._by_number[served.number]
        self.release(served.ticket)
        self.metrics.requests.labels(outcome).inc()
        if served.listener is not None:
            served.listener.put_end(end)
        self._forget_oldest()

    def _forget(self, served: ServedRequest) -> None:
        self._by_id.pop((served.ticket.client, served.ticket.request_id), None)

    def _forget_oldest(self) -> None:
        ended = [served for served in self._by_id.values() if served.end is not None]
        total = sum(len(served.end or b"") for served in ended)
        while ended and (len(ended) > self.limits.kept_answers or total > self.limits.kept_bytes):
            oldest = ended.pop(0)
            total -= len(oldest.end or b"")
            self._forget(oldest)
