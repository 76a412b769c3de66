"""Connections of a client to its server: HTTP/1.1 and TLS of Python itself, with a limit to every wait."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ...core.errors import JsonError, ServerError
from ...core.json_files import JsonLimits, parse_json
from ...core.text import printable
from .address import ServerAddress, read_token
from .message_format import Code
from .status import ServerProblem

CONNECT_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 10.0
"""Of a read in the midst of an answer; the heartbeat knows much earlier that a server is gone."""
MAX_JSON_BYTES = 1 << 20
SEND_CHUNK_BYTES = 1 << 16
JSON_LIMITS = JsonLimits(size_bytes=MAX_JSON_BYTES, depth=8, values=10_000, text_characters=10_000)


class UnusableError(ServerError):
    """The server cannot be used.

    Attributes:
        problem, detail: why.
    """

    def __init__(self, problem: ServerProblem, detail: str = "") -> None:
        super().__init__(f"{problem.value}: {detail}")
        self.problem, self.detail = problem, printable(detail, 200)


class RefusedError(ServerError):
    """The server refuses a request.

    Attributes:
        code: why; None where it gives none that is known.
        retry_after_s: after how many seconds to try again.
    """

    def __init__(self, status: int, code: Code | None, detail: str, retry_after_s: float) -> None:
        super().__init__(printable(detail or f"the server answers with the status {status}"))
        self.status, self.code, self.retry_after_s = status, code, retry_after_s


class Connections:
    """Opens connections to one server.

    Raises:
        ServerError: the token or the CA file cannot be read.
    """

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._context: ssl.SSLContext | None = None
        if address.is_tls:
            try:
                self._context = ssl.create_default_context(cafile=address.ca_file)
            except (ssl.SSLError, OSError) as error:
                raise ServerError(f"{address.ca_file} holds no certificate that can be read: {error}") from error
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._headers = {"Host": str(address).partition("//")[2], "User-Agent": "crlm-seg"}
        if address.token_file is not None:
            self._headers["Authorization"] = f"Bearer {read_token(address.token_file)}"

    def open(self) -> HttpConnection:
        """Connect.

        Raises:
            UnusableError: why that is not possible.
        """
        address = self._address
        raw: http.client.HTTPConnection
        if self._context is None:
            raw = http.client.HTTPConnection(address.host, address.port, timeout=CONNECT_TIMEOUT_S)
        else:
            raw = http.client.HTTPSConnection(
                address.host, address.port, timeout=CONNECT_TIMEOUT_S, context=self._context
            )
        try:
            raw.connect()
        except (OSError, http.client.HTTPException) as error:
            raw.close()
            raise unusable(error) from error
        return HttpConnection(raw, self._headers)


class HttpConnection:
    """One connection, for one request at a time."""

    def __init__(self, raw: http.client.HTTPConnection, headers: Mapping[str, str]) -> None:
        self._raw, self._headers = raw, dict(headers)
        self._socket: socket.socket = raw.sock

    @property
    def certificate_days(self) -> float | None:
        """Days until the server's certificate expires; None without TLS."""
        certificate = self._socket.getpeercert() if isinstance(self._socket, ssl.SSLSocket) else None
        ends = (certificate or {}).get("notAfter")
        if not isinstance(ends, str):
            return None
        seconds = ssl.cert_time_to_seconds(ends) - datetime.now(timezone.utc).timestamp()
        return seconds / 86400

    def get_json(self, path: str, wait: Callable[[socket.socket], None] | None = None) -> dict[str, Any]:
        """Return the JSON object of a small answer.

        Args:
            wait: waits until the answer begins; by default, as long as `CONNECT_TIMEOUT_S`.

        Raises:
            RefusedError: the server refuses the request.
            UnusableError: the connection fails, or what comes is no such answer.
        """
        try:
            self._raw.request("GET", path, headers=self._headers)
            if wait is not None:
                wait(self._socket)
            response = self._raw.getresponse()
            data = response.read(MAX_JSON_BYTES + 1)
        except (OSError, http.client.HTTPException) as error:
            raise unusable(error) from error
        if response.status != http.client.OK:
            raise _refused(response, data)
        return _object(data)

    def post(
        self, path: str, headers: Mapping[str, str], body: bytes, on_bytes: Callable[[], None]
    ) -> http.client.HTTPResponse:
        """Send a request and return the beginning of its answer, to be read by the caller.

        Args:
            on_bytes: called whenever some of the body was accepted.

        Raises:
            RefusedError: the server refuses the request.
            OSError, HTTPException: the connection fails.
        """
        self._socket.settimeout(READ_TIMEOUT_S)
        self._raw.putrequest("POST", path, skip_host=True, skip_accept_encoding=True)
        for name, value in {**self._headers, **headers, "Content-Length": str(len(body))}.items():
            self._raw.putheader(name, value)
        whole = memoryview(body)
        try:
            self._raw.endheaders()
            for start in range(0, len(whole), SEND_CHUNK_BYTES):
                self._raw.send(whole[start : start + SEND_CHUNK_BYTES])
                on_bytes()
        except (BrokenPipeError, ConnectionResetError):
            with contextlib.suppress(OSError, http.client.HTTPException):  # it may have said why before it closed
                response = self._raw.getresponse()
                if response.status != http.client.OK:
                    raise _refused(response, response.read(MAX_JSON_BYTES)) from None
            raise
        response = self._raw.getresponse()
        on_bytes()
        if response.status != http.client.OK:
            raise _refused(response, response.read(MAX_JSON_BYTES))
        return response

    def delete(self, path: str, headers: Mapping[str, str]) -> None:
        """Ask to cancel a request; whatever the answer is.

        Raises:
            OSError, HTTPException: the connection fails.
        """
        self._raw.request("DELETE", path, headers={**self._headers, **headers})
        self._raw.getresponse().read(MAX_JSON_BYTES)

    def abort(self) -> None:
        """End what another thread does with this connection; it fails there with an OSError."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._raw.close()


def wait_for_sign(connection: socket.socket, last_sign_s: Callable[[], float], limit_s: float) -> None:
    """Wait until an answer begins, as long as there was any sign of the server in the last `limit_s`.

    Args:
        last_sign_s: when (`time.monotonic()`) something went to or came from the server on any connection.

    Raises:
        TimeoutError: there was none.
    """
    asked_s = time.monotonic()
    while True:
        left_s = max(asked_s, last_sign_s()) + limit_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError(f"no answer for {limit_s:.2f} s")
        if select.select([connection], [], [], left_s)[0]:
            return


def unusable(error: Exception) -> UnusableError:
    """Return what an error of the network or of HTTP means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return UnusableError(ServerProblem.CERTIFICATE, error.verify_message or str(error))
    if isinstance(error, ssl.SSLError):
        return UnusableError(ServerProblem.NOT_A_SERVER, f"TLS: {error.reason or error}")
    if isinstance(error, socket.gaierror):
        return UnusableError(ServerProblem.NAME, error.strerror or str(error))
    if isinstance(error, (socket.timeout, TimeoutError)):
        return UnusableError(ServerProblem.SILENT, str(error))
    if isinstance(error, (OSError, http.client.RemoteDisconnected)):
        return UnusableError(ServerProblem.UNREACHABLE, getattr(error, "strerror", None) or str(error))
    return UnusableError(ServerProblem.NOT_A_SERVER, f"{type(error).__name__}: {error}")


def _refused(response: http.client.HTTPResponse, data: bytes) -> RefusedError:
    try:
        about = _object(data)
    except UnusableError:
        about = {}
    codes = {code.value: code for code in Code}
    code = codes.get(str(about.get("code")))
    try:
        retry_after_s = min(60.0, max(0.0, float(response.headers.get("Retry-After") or 1)))
    except ValueError:
        retry_after_s = 1.0
    return RefusedError(response.status, code, str(about.get("detail", "")), retry_after_s)


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = parse_json(data, JSON_LIMITS)
    except JsonError as error:
        raise UnusableError(ServerProblem.NOT_A_SERVER, str(error)) from error
    if not isinstance(found, dict):
        raise UnusableError(ServerProblem.NOT_A_SERVER, "its answer is no object")
    return found
