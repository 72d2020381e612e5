"""The socket on which the example servers listen, or a port for those that make their own."""

from __future__ import annotations

import socket


def listen_on_loopback(port: int) -> socket.socket:
    """As :func:`listen`, where nobody but this machine can connect."""
    return listen("127.0.0.1", port)


def free_port() -> int:
    """A port of loopback that nobody listens on, for a server that must be told one; another may take it first."""
    with listen_on_loopback(0) as listener:
        port: int = listener.getsockname()[1]
    return port


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes connections already; port 0 takes a free one, ``getsockname()[1]`` tells which."""
    # The protocol is named because asyncio sends small replies at once (TCP_NODELAY) only where it is;
    # a reply would else wait up to 40 ms for the client's acknowledgement.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError:
        listener.close()
        raise
    return listener
