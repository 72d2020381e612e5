"""What cannot be served is refused in the call, in words that name it."""

from __future__ import annotations

import socket

import pytest

from loopwatch.errors import SettingsError

pytest.importorskip("prometheus_client")

from prometheus_client import CollectorRegistry

from loopwatch.report.prometheus import serve


@pytest.mark.parametrize("port", [-1, 65536, "9000", True, None, 9000.0])
def test_what_is_no_port_is_refused_with_what_is_allowed(port: object) -> None:
    """Each of them raised something else, from deep within the socket."""
    with pytest.raises(SettingsError, match=r"port is .*0 to 65535"):
        serve(CollectorRegistry(), port, "127.0.0.1")  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_named() -> None:
    """A service may serve more than one: which of them it was is the first question."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot serve metrics on 127\.0\.0\.1:{number}: .*in use") as refused:
            serve(CollectorRegistry(), number, "127.0.0.1")
    assert refused.value.errno


def test_an_address_that_is_none_is_named() -> None:
    """A name that nothing answers to."""
    with pytest.raises(OSError, match=r"cannot serve metrics on no\.such\.host\.invalid:0: "):
        serve(CollectorRegistry(), 0, "no.such.host.invalid")
