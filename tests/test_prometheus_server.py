"""The server of metrics: it answers while everything else hangs, on one address, and is gone when it is closed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from loopwatch.report import prometheus
from tests.made_scrapes import TEXT, Source, registry_over


@pytest.fixture
def registry() -> Any:
    return registry_over(Source())


@pytest.fixture
def server(registry: Any) -> Iterator[prometheus.MetricsServer]:
    server = prometheus.serve(registry, 0, "127.0.0.1")
    yield server
    server.close()


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as response:
        text: bytes = response.read()
    return text.decode()


def test_the_server_answers_on_a_free_port(server: prometheus.MetricsServer) -> None:
    """Port 0 takes one that is free and tells which; the answer is the registry's text."""
    assert server.port > 0
    assert fetch(server.port) == TEXT


def test_the_server_shows_its_address(server: prometheus.MetricsServer) -> None:
    """At a prompt, or in a log, one sees what to scrape, and whether that still answers."""
    assert server.url == f"http://127.0.0.1:{server.port}/metrics"
    assert repr(server) == f"<MetricsServer {server.url}>"
    with urllib.request.urlopen(server.url, timeout=20) as response:
        assert response.read().decode() == TEXT
    server.close()
    assert repr(server) == f"<MetricsServer {server.url} (closed)>"


def test_an_address_with_colons_stands_in_brackets(registry: Any) -> None:
    """The URL of an IPv6 server can be used as it is."""
    try:
        server = prometheus.serve(registry, 0, "::1")
    except OSError:
        pytest.skip("this machine has no IPv6")
    try:
        assert server.url == f"http://[::1]:{server.port}/metrics"
    finally:
        server.close()


def test_the_server_answers_while_the_loop_of_the_main_thread_hangs(server: prometheus.MetricsServer) -> None:
    """A hanging loop can be looked at: the step that holds it ends only when the scrape is over."""
    answers: list[str] = []
    answered = threading.Event()

    def look() -> None:
        answers.append(fetch(server.port))
        answered.set()

    async def hang() -> None:
        threading.Thread(target=look).start()
        assert answered.wait(20)

    asyncio.run(hang())
    assert answers == [TEXT]


def test_the_server_listens_on_the_given_address_only(server: prometheus.MetricsServer) -> None:
    """Nothing is reachable from outside unless that is asked for."""
    assert server._server.server_address == ("127.0.0.1", server.port)
    assert server._server.socket.getsockname() == ("127.0.0.1", server.port)


def test_the_server_runs_on_a_daemon_thread_with_our_name(server: prometheus.MetricsServer) -> None:
    """It does not keep the process alive, and who looks at the threads sees whose it is."""
    assert [thread.daemon for thread in threading.enumerate() if thread.name == "loopwatch-metrics"] == [True]


def test_a_closed_server_is_gone(registry: Any) -> None:
    """Thread and port are free when ``close()`` returns; closing again does nothing."""
    server = prometheus.serve(registry, 0, "127.0.0.1")
    fetch(server.port)
    server.close()
    server.close()
    assert [thread for thread in threading.enumerate() if thread.name == "loopwatch-metrics"] == []
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)
    prometheus.serve(registry, server.port, "127.0.0.1").close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_can_close_its_copy(server: prometheus.MetricsServer) -> None:
    """It waits for no thread that only the parent has, and the parent's server goes on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads is what is tested
        pid = os.fork()
    if pid == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            server.close()
            os._exit(0 if server._server.socket.fileno() == -1 else 1)
        finally:
            os._exit(2)
    assert os.waitpid(pid, 0)[1] == 0
    assert fetch(server.port) == TEXT


def test_a_port_that_is_taken_is_refused(registry: Any) -> None:
    """The error comes from the call, not from a thread that nobody looks at."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        prometheus.serve(registry, taken.getsockname()[1], "127.0.0.1")
