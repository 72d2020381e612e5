"""Parts of the tests of offloads: servers that take their time, work that is handed over, and what is said of it."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from loopwatch.model import Offload
from loopwatch.watch import Watch
from tests.executing import SOON

DELAY = 0.05
"""Seconds after which a server replies."""


def offload(watch: Watch, target: str = "") -> Offload:
    """The only offload, or the only one to a target of that name."""
    assert watch.flush(SOON)
    found = [each for each in watch.snapshot().offloads if each.target.endswith(target)]
    assert len(found) == 1, found
    return found[0]


class SlowReply(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(16)
        time.sleep(DELAY)
        self.request.sendall(b"done")


class SlowPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(DELAY)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *given: Any) -> None:
        pass


@contextlib.contextmanager
def serving(kind: Any, handler: Any) -> Iterator[tuple[str, int]]:
    with kind(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address
        server.shutdown()
        thread.join()


@contextlib.contextmanager
def slow_database() -> Iterator[tuple[str, int]]:
    """Replies to each connection after 50 ms."""
    with serving(socketserver.ThreadingTCPServer, SlowReply) as address:
        yield address


@contextlib.contextmanager
def slow_website() -> Iterator[str]:
    """Replies to each request after 50 ms."""
    with serving(http.server.ThreadingHTTPServer, SlowPage) as (host, port):
        yield f"http://{host}:{port}/"


def fetch_page(database: tuple[str, int]) -> bytes:
    with socket.create_connection(database) as connection:
        connection.sendall(b"get")
        return connection.recv(16)


async def at_once(number: int, call: Callable[[], Any]) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(number)))
