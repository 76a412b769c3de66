"""The address of a segmentation server with what a client needs to trust it and to be trusted: CA and token."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ...core.errors import ServerError, os_reason
from ...core.text import quoted

DEFAULT_PORT = 8443
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{32,512}")
TOKEN_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
MAX_TOKEN_FILE_BYTES = 1 << 20


@dataclass(frozen=True)
class ServerAddress:
    """Where a server is, and how it is trusted.

    Attributes:
        token_file: holds the token of this room; None for a server on this computer that asks for none.
        ca_file: certificates, PEM, one of which must have signed the server's; None for those of the system.
    """

    host: str
    port: int
    is_tls: bool
    token_file: Path | None = None
    ca_file: Path | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.is_tls else 'http'}://{host}:{self.port}"


def server_address(url: str, token_file: Path | None = None, ca_file: Path | None = None) -> ServerAddress:
    """Return the address that a URL such as https://gpu.example:8443 names.

    Raises:
        ServerError: it is none, it would send a token in clear over the network, or a file is missing.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ServerError(f"{quoted(url)} is no address of a server: {error}; give https://HOST:PORT") from error
    extra = (parts.path not in ("", "/")) or parts.query or parts.fragment or parts.username or parts.password
    if parts.scheme not in ("http", "https") or not host or extra:
        raise ServerError(f"{quoted(url)} is no address of a server; give https://HOST:PORT and nothing more")
    is_tls = parts.scheme == "https"
    if not is_tls and not is_loopback(host):
        raise ServerError(f"{url} would send images and token in clear over the network; give https://")
    for path, what in ((token_file, "token"), (ca_file, "CA certificate")):
        if path is not None and not path.is_file():
            raise ServerError(f"the file of the {what}, {path}, is not there; ask the server's administrator for it")
    return ServerAddress(host, port or DEFAULT_PORT, is_tls, token_file, ca_file)


def is_loopback(host: str) -> bool:
    """Return whether a host is this computer by its name or address alone; no name is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_tokens(path: Path) -> dict[str, str]:
    """Return the tokens of a file, each with the name of its client.

    A line is `NAME TOKEN`, or a token alone; empty lines and those that begin with # are left out. The file of a client
    holds one line.

    Raises:
        ServerError: it cannot be read, holds no token, or one that is too short or not of the allowed characters.
    """
    try:
        with path.open("rb") as stream:
            text = stream.read(MAX_TOKEN_FILE_BYTES).decode()
    except OSError as error:
        raise ServerError(f"the token file {path} cannot be read: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ServerError(f"the token file {path} is no text") from error
    names: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name = words[0] if len(words) == 2 else f"client-{number}"
        if len(words) > 2 or not TOKEN_NAME.fullmatch(name) or not TOKEN.fullmatch(words[-1]):
            raise ServerError(
                f"line {number} of the token file {path} is not NAME TOKEN with a token of 32 characters or more "
                "(letters, digits and . _ ~ + / = -); make one with: openssl rand -hex 32"
            )
        if words[-1] in names or name in names.values():
            raise ServerError(f"line {number} of the token file {path} repeats a name or a token")
        names[words[-1]] = name
    if not names:
        raise ServerError(f"the token file {path} holds no token; make one with: openssl rand -hex 32")
    return names


def read_token(path: Path) -> str:
    """Return the only token of a client's file.

    Raises:
        ServerError: as `read_tokens`, or there are several.
    """
    tokens = read_tokens(path)
    if len(tokens) > 1:
        raise ServerError(f"the token file {path} holds {len(tokens)} tokens; a client has one of its own")
    return next(iter(tokens))
