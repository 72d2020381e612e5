"""What is given to a loop of uvloop in ways that few use, and what cannot be timed, is handed on as it is to be."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.stopwatch.steps import NEVER
from tests.implementations import NAMES
from tests.made_timed_calls import Bench


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


def test_what_cannot_be_called_is_handed_on_as_it_is(bench: Bench) -> None:
    """It is refused as before, with what it is."""

    async def coroutine() -> None: ...

    given = coroutine()
    bench.call_soon(bench.loop, given)
    assert bench.loop.given[0][0] is given
    given.close()


class Both:
    """As a coroutine of Cython's may be: it can be called, and awaited."""

    def __call__(self) -> None: ...

    def __await__(self) -> Iterator[None]:
        yield

    def send(self, value: Any) -> None: ...

    def throw(self, error: Any) -> None: ...

    def close(self) -> None: ...


def test_what_can_be_awaited_is_handed_on_as_it_is(bench: Bench) -> None:
    """asyncio keeps the types of what it took for a coroutine: a stand-in must not be among them."""
    given = Both()
    bench.call_soon(bench.loop, given)
    bench.call_soon(bench.loop, callback=given)
    assert [each for each, _ in bench.loop.given] == [given, given]
    assert [type(each) for each, _ in bench.loop.given] == [Both, Both]


def test_a_coroutine_that_is_refused_spoils_nothing() -> None:
    """Handlers that are given after it are taken."""
    uvloop = pytest.importorskip("uvloop")
    ran: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError, match="coroutines cannot be used"):
            loop.add_signal_handler(signal.SIGUSR1, Both())
        loop.add_signal_handler(signal.SIGUSR1, ran.append, 1)
        signal.raise_signal(signal.SIGUSR1)
        await asyncio.sleep(0.05)
        loop.remove_signal_handler(signal.SIGUSR1)

    with loopwatch.install(reporters=[], prometheus=False, exact_uvloop=True):
        uvloop.run(main())
    assert ran == [1]


@pytest.mark.parametrize("many", [0, 6, 7, 8, 20])
def test_any_number_of_arguments_is_handed_on(bench: Bench, many: int) -> None:
    """And what is called with them is timed."""
    seen: list[Any] = []

    def look(*given: Any) -> None:
        seen.append((given, bench.calls.running))

    assert bench.call_soon(bench.loop, look, *range(many), context="c") == "handle in c"
    bench.loop.run()
    assert seen == [(tuple(range(many)), look)]
    assert bench.calls.quick == 1


def test_a_callback_may_be_given_by_its_name(bench: Bench) -> None:
    """It is timed as well; no other argument is taken for it."""
    assert bench.call_soon(bench.loop, context="c", callback=int) == "handle in c"
    bench.loop.run()
    assert bench.calls.quick == 1
    with pytest.raises(TypeError):
        bench.call_soon(bench.loop, context=int)
    with pytest.raises(TypeError):
        bench.call_soon()


@pytest.mark.parametrize("failing", [1, 2])
def test_a_clock_that_fails_is_no_ones_error(bench: Bench, failing: int) -> None:
    """What is called runs, and counts as quick; the next one is timed again."""
    readings: list[int] = []

    def clock() -> float:
        readings.append(1)
        if len(readings) == failing:
            raise ValueError("broken")
        return 1.0 * len(readings)

    bench = bench.with_clock(clock)
    ran: list[int] = []
    bench.call_soon(bench.loop, ran.append, 1)
    bench.loop.run()
    assert (ran, bench.calls.quick, bench.calls.seconds, bench.slow) == ([1], 1, 0.0, [])
    bench.call_soon(bench.loop, ran.append, 2)
    bench.loop.run()
    assert (ran, bench.calls.quick, bench.calls.seconds, len(bench.slow)) == ([1, 2], 1, 1.0, 1)
    assert bench.calls.began == NEVER
