"""What is checked of every request before anything of its body is read: the token, and the rate."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from ..segmentation.remote.message_format import PATH, Code
from .rate_limit import RateLimit, retry_after
from .settings import ServerSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]
CLIENT_NAME = "client_name"
"""The key of a scope's state under which the name of the token stands."""
LOCAL = "local"
"""The name of clients where no token is asked for."""


class Guard:
    """An ASGI application in front of another; answers heartbeats itself.

    Args:
        health: status and entries of the answer to /health.
        on_refused: told the code of each refusal.
    """

    def __init__(
        self,
        application: Application,
        settings: ServerSettings,
        health: Callable[[], tuple[HTTPStatus, dict[str, str]]],
        on_refused: Callable[[Code], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._application, self._settings, self._health = application, settings, health
        self._on_refused = on_refused
        self._tokens = [(token.encode(), name) for token, name in settings.tokens.items()]
        self._rate = RateLimit(settings.limits.rate_per_s, settings.limits.burst, clock)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        bounded = self._bounded(send)
        size_bytes = len(scope["raw_path"]) + sum(len(name) + len(value) for name, value in scope["headers"])
        if size_bytes > self._settings.limits.header_bytes:
            self._on_refused(Code.TOO_LARGE)
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            await refuse(bounded, status, Code.TOO_LARGE, "the headers are too long")
            return
        authorization = [value for name, value in scope["headers"] if name == b"authorization"]
        is_health = scope["path"] == "/health"
        name = self._client_of(authorization)
        if name is None and not (is_health and not authorization):
            self._on_refused(Code.TOKEN)
            await refuse(
                bounded,
                HTTPStatus.UNAUTHORIZED,
                Code.TOKEN,
                "a valid token is needed: Authorization: Bearer TOKEN",
                [(b"www-authenticate", b"Bearer")],
            )
            return
        if is_health and scope["method"] == "GET":
            status, about = self._health()
            await _answer(bounded, status, about if name is not None else {"status": about["status"]})
            return
        if scope["path"] == PATH and scope["method"] == "POST":
            wait_s = self._rate.wait_s(name or "")
            if wait_s:
                self._on_refused(Code.RATE)
                later = [(b"retry-after", retry_after(wait_s).encode())]
                await refuse(bounded, HTTPStatus.TOO_MANY_REQUESTS, Code.RATE, "too many requests", later)
                return
        scope.setdefault("state", {})[CLIENT_NAME] = name
        await self._application(scope, receive, bounded)

    def _client_of(self, authorization: list[bytes]) -> str | None:
        """Return the name of the token; every token is compared, each in constant time. None where it is none."""
        if not self._tokens:
            return LOCAL
        scheme, _, given = (authorization[0] if len(authorization) == 1 else b"").partition(b" ")
        found = None
        for token, name in self._tokens:
            if hmac.compare_digest(token, given.strip()) and scheme.lower() == b"bearer":
                found = name
        return found

    def _bounded(self, send: Send) -> Send:
        async def send_in_time(message: Message) -> None:
            await asyncio.wait_for(send(message), self._settings.limits.write_s)

        return send_in_time


async def refuse(
    send: Send, status: HTTPStatus, code: Code, detail: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    """Answer with an error, as `{"code", "detail"}`; the connection is closed, since the body is not read."""
    await _answer(send, status, {"code": code.value, "detail": detail}, [*(headers or []), (b"connection", b"close")])


async def _answer(
    send: Send, status: HTTPStatus, content: dict[str, str], headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = json.dumps(content).encode()
    fixed = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": int(status), "headers": [*fixed, *(headers or [])]})
    await send({"type": "http.response.body", "body": body})
