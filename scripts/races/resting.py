"""One bell that many threads ring and one rests on, and gauges that are set and taken back while it looks at them."""

from __future__ import annotations

import ctypes
import time
from typing import Any

from together import require, run_together

from loopwatch.observe.resting import _rest_c

COUNTER = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)


class Loop:
    """What holds the number that libuv would have: nanoseconds that it has waited."""

    def __init__(self) -> None:
        self.waited = (ctypes.c_uint64 * 1)()
        self.address = ctypes.addressof(self.waited)


def address_of_a_counter() -> int:
    """A function of C that reads one number, which needs no interpreter: of libc, for it must not call Python."""
    libc: Any = ctypes.CDLL(None)
    found = ctypes.cast(libc.getppid, ctypes.c_void_p).value  # ignores its argument; hardly ever changes
    assert found is not None
    return found


bell = _rest_c.Bell()
gauges = tuple(_rest_c.Gauge(address_of_a_counter(), 1000.0) for _ in range(3))
loops = [Loop() for _ in gauges]


def ring() -> None:
    bell.ring()
    time.sleep(0.0003)


def set_gauges() -> None:
    for gauge, loop in zip(gauges, loops):
        gauge.set(loop, loop.address, time.monotonic(), 0.0)
    time.sleep(0.0002)


def take_back() -> None:
    for gauge in gauges:
        gauge.take_back()
    time.sleep(0.001)


def rest() -> None:
    for _ in range(20):
        bell.rest(0.001)
        bell.doze(0.0005, time.monotonic() + 0.005, 1.0, gauges)


require("loopwatch.observe.resting._rest_c")
run_together(rest, ring, ring, ring, set_gauges, set_gauges, take_back)
