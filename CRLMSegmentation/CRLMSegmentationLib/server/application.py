"""The HTTP application: requests to segment, models, health and metrics. No handler blocks."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from .. import __version__
from ..segmentation.engine.engine import EngineState
from ..segmentation.remote.message_format import (
    BACKGROUND_HEADER,
    CLIENT_HEADER,
    FORMAT,
    LESION_HEADER,
    MAX_NUMBER,
    MEDIA_TYPE,
    PATH,
    REQUEST_HEADER,
    SEQUENCE_HEADER,
    Code,
)
from ..segmentation.remote.messages import SegmentRequest, WireError, check_is_part, decode_request
from .dispatcher import Dispatcher
from .fair_queue import ClientKey
from .guard import CLIENT_NAME, Application, Guard
from .rate_limit import retry_after
from .served_request import OnEvent, RefusalError, ServedRequest, Ticket, Worker
from .settings import ServerSettings

logger = logging.getLogger(__name__)

ID = re.compile(r"[0-9a-f]{32}")
NUMBER = re.compile(r"[0-9]{1,10}")
DECODERS = 2
"""Threads that check and decode bodies."""
STOP_TIMEOUT_S = 15.0


class Service:
    """A server's workers and dispatcher, while its event loop runs.

    Args:
        make_workers: makes the workers; they are started and stopped with the service.
    """

    def __init__(self, settings: ServerSettings, make_workers: Callable[[OnEvent], Sequence[Worker]]) -> None:
        self.settings, self._make_workers = settings, make_workers
        self.instance = secrets.token_hex(8)
        self.dispatcher: Dispatcher | None = None
        self.decoders = ThreadPoolExecutor(DECODERS, "decoder")
        self.workers: Sequence[Worker] = []

    @asynccontextmanager
    async def running(self, _: FastAPI) -> AsyncIterator[None]:
        """Start the workers, and stop them at the end."""
        self.workers = self._make_workers(lambda worker, event: dispatcher.handle_in_thread(worker, event))
        dispatcher = Dispatcher(self.workers, self.settings.limits, asyncio.get_running_loop())
        self.dispatcher = dispatcher
        for worker in self.workers:
            worker.start()
        try:
            yield
        finally:
            dispatcher.close()
            await asyncio.get_running_loop().run_in_executor(None, self._stop_workers)
            self.decoders.shutdown(wait=False)

    def _stop_workers(self) -> None:
        for worker in self.workers:
            worker.stop(STOP_TIMEOUT_S)

    def health(self) -> tuple[HTTPStatus, dict[str, str]]:
        """Return the answer to a heartbeat."""
        is_ready = any(worker.ready for worker in self.workers)
        is_starting = any(worker.state is not EngineState.FAILED for worker in self.workers)
        status = "ok" if is_ready else "starting" if is_starting else "failed"
        code = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
        return code, {"status": status, "instance": self.instance, "detail": f"its workers: {status}"}

    def models(self) -> list[dict[str, Any]]:
        """Return what /models says of each model."""
        found: dict[str, dict[str, Any]] = {}
        for worker in self.workers:
            ready, package = worker.ready, worker.package
            about = found.get(package.sha256)
            if about is not None and (about["state"] == "ready" or ready is None):
                about["workers"] += 1
                continue
            count = 1 if about is None else about["workers"] + 1
            found[package.sha256] = {
                "name": package.name,
                "version": package.version,
                "sha256": package.sha256,
                "spacing_mm": package.spacing_mm,
                "crop_size_mm": package.crop_size_mm,
                "channels": list(package.channels),
                "simulated_only": package.simulated_only,
                "state": "ready" if ready else worker.state.value,
                "device": ready.device if ready else "",
                "versions": dict(ready.versions) if ready else {},
                "warnings": list(ready.warnings) if ready else [],
                "pass_s": ready.pass_s if ready else None,
                "workers": count,
            }
        return list(found.values())


def make_application(service: Service) -> Application:
    """Return the ASGI application of a service, behind its guard."""
    settings, limits = service.settings, service.settings.limits
    app = FastAPI(
        title="CRLM segmentation server",
        version=__version__,
        lifespan=service.running,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
    )

    def dispatcher() -> Dispatcher:
        if service.dispatcher is None:
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, Code.BUSY, "the server is starting", 1.0)
        return service.dispatcher

    def note_refused(code: Code) -> None:
        if service.dispatcher is not None:
            service.dispatcher.metrics.refused.labels(code.value).inc()

    @app.exception_handler(RefusalError)
    async def refused(request: Request, refusal: RefusalError) -> JSONResponse:
        note_refused(refusal.code)
        headers = {} if refusal.retry_after_s is None else {"Retry-After": retry_after(refusal.retry_after_s)}
        content = {"code": refusal.code.value, "detail": str(refusal)}
        return JSONResponse(content, refusal.status, headers)

    @app.post(PATH)
    async def segment(request: Request) -> Response:
        there = dispatcher()
        size_bytes = _size_of(request, limits.request_bytes)
        try:
            ticket = _ticket_of(request, size_bytes)
            known = there.admit(ticket)
        except RefusalError:
            await _discard_body(request, size_bytes, limits.body_s, limits.body_pause_s)
            raise
        there.reserve(ticket)
        try:
            body = await _body_of(request, size_bytes, limits.body_s, limits.body_pause_s)
            there.metrics.received.inc(len(body))
            loop = asyncio.get_running_loop()
            spacings = {worker.package.sha256: worker.package.spacing_mm for worker in there.workers}
            body_sha256, decoded = await loop.run_in_executor(service.decoders, _decode, body, spacings)
            served = _known_or_accepted(there, ticket, known, body_sha256, decoded)
        finally:
            there.release(ticket)
        return StreamingResponse(_stream(there, served), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})

    @app.delete(PATH + "/{request_id}")
    async def cancel(request: Request, request_id: str) -> Response:
        client = ClientKey(_name_of(request), _matching(request, CLIENT_HEADER, ID))
        is_known = dispatcher().cancel(client, request_id)
        return Response(status_code=HTTPStatus.NO_CONTENT if is_known else HTTPStatus.NOT_FOUND)

    @app.get("/models")
    async def models() -> JSONResponse:
        return JSONResponse({"program": __version__, "formats": [FORMAT], "models": service.models()})

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(dispatcher().metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return Guard(app, settings, service.health, note_refused, time.monotonic)


def _known_or_accepted(
    dispatcher: Dispatcher, ticket: Ticket, known: ServedRequest | None, body_sha256: str, decoded: SegmentRequest
) -> ServedRequest:
    """Return the request that was sent before, or a new one; it may have been sent again while this body came."""
    known = known or dispatcher.admit(ticket)
    if known is None:
        return dispatcher.accept(ticket, body_sha256, decoded)
    if known.body_sha256 != body_sha256:
        raise RefusalError(HTTPStatus.CONFLICT, Code.CONFLICT, "another request was sent under the same id")
    return known


async def _stream(dispatcher: Dispatcher, served: ServedRequest) -> AsyncIterator[bytes]:
    listener = dispatcher.attach(served)
    try:
        yield dispatcher.waiting_update(served)
        async for part in listener.updates(lambda: dispatcher.waiting_update(served)):
            yield part
    finally:
        dispatcher.detach(served, listener)


def _decode(body: bytes, spacings_mm: dict[str, float]) -> tuple[str, SegmentRequest]:
    """Return the hash of a body and the request in it; in a thread."""
    try:
        decoded = decode_request(body)
        spacing_mm = spacings_mm.get(decoded.model_sha256)
        if spacing_mm is not None:
            check_is_part(decoded.job, spacing_mm)
    except WireError as error:
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, Code.MALFORMED, str(error)) from error
    return hashlib.sha256(body).hexdigest(), decoded


def _size_of(request: Request, limit: int) -> int:
    """Return the length of the body that the headers announce."""
    if request.headers.get("content-type", "").split(";")[0].strip() != MEDIA_TYPE:
        raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, Code.MALFORMED, f"the type of a request is {MEDIA_TYPE}")
    text = request.headers.get("content-length", "")
    if not NUMBER.fullmatch(text):
        raise RefusalError(HTTPStatus.LENGTH_REQUIRED, Code.MALFORMED, "a request has a Content-Length")
    if int(text) > limit:
        detail = f"a request has at most {limit} bytes, this one {int(text)}"
        raise RefusalError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, Code.TOO_LARGE, detail)
    return int(text)


def _ticket_of(request: Request, size_bytes: int) -> Ticket:
    lesion, sequence = (
        min(int(_matching(request, name, NUMBER)), MAX_NUMBER) for name in (LESION_HEADER, SEQUENCE_HEADER)
    )
    return Ticket(
        ClientKey(_name_of(request), _matching(request, CLIENT_HEADER, ID)),
        _matching(request, REQUEST_HEADER, ID),
        lesion,
        sequence,
        request.headers.get(BACKGROUND_HEADER) == "1",
        size_bytes,
    )


def _matching(request: Request, name: str, pattern: re.Pattern[str]) -> str:
    value = request.headers.get(name, "")
    if not pattern.fullmatch(value):
        raise RefusalError(HTTPStatus.BAD_REQUEST, Code.MALFORMED, f"the header {name} is missing or malformed")
    return value


def _name_of(request: Request) -> str:
    name: str = request.scope["state"][CLIENT_NAME]
    return name


async def _body_of(request: Request, size_bytes: int, limit_s: float, pause_s: float) -> bytes:
    """Receive a body, in time.

    Raises:
        RefusalError: it was cut off, is too slow, or longer than announced.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    body = bytearray()
    while True:
        left_s = min(pause_s, end_s - loop.time())
        try:
            message = await asyncio.wait_for(request.receive(), left_s)
        except asyncio.TimeoutError:
            raise RefusalError(HTTPStatus.REQUEST_TIMEOUT, Code.TOO_SLOW, "the body comes too slowly") from None
        if message["type"] == "http.disconnect":
            raise RefusalError(HTTPStatus.BAD_REQUEST, Code.MALFORMED, "the body was cut off")
        body += message.get("body", b"")
        if len(body) > size_bytes:
            raise RefusalError(HTTPStatus.BAD_REQUEST, Code.MALFORMED, "the body is longer than announced")
        if not message.get("more_body", False):
            if len(body) != size_bytes:
                raise RefusalError(HTTPStatus.BAD_REQUEST, Code.MALFORMED, "the body was cut off")
            return bytes(body)


async def _discard_body(request: Request, size_bytes: int, limit_s: float, pause_s: float) -> None:
    """Receive a body that is not used, so that a client whose token is valid can read why."""
    try:
        await _body_of(request, size_bytes, limit_s, pause_s)
    except RefusalError as refusal:
        logger.debug("%s", refusal)
