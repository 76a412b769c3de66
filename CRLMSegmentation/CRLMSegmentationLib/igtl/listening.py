"""Listening socket of a server, with a warning when other machines can reach it."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket

from ..core.errors import LinkError
from .sockets import check_port

logger = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket, and log a warning when other machines can connect to it.

    Raises:
        LinkError: the port or the address is not available.
    """
    check_port(port, lowest=0)
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise LinkError(f"{host} is no address of this machine: {error}; use 127.0.0.1") from error
    try:
        # On Windows the option would let two servers share a port.
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        listener.setblocking(False)
        _warn_if_others_can_connect(listener)
        return listener
    except OSError as error:
        listener.close()
        raise LinkError(_bind_reason(error, host, port)) from error


def _warn_if_others_can_connect(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
        text = "port %d is open on %s: whoever reaches it over the network can connect, OpenIGTLink knows no passwords"
        logger.warning(text, port, host)


def _bind_reason(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is in use; stop the program that listens there, or choose another with --port"
    if error.errno == errno.EACCES:
        return f"port {port} may not be opened by this user; choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error}; choose another host or port"
