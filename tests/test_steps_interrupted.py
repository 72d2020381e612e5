"""What is raised while a stopwatch does its own work goes where it would go without it, from both implementations."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from loopwatch.testing import FakeClock
from tests.implementations import NAMES, implementation

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs a signal that nobody else sends")


class Late(TimeoutError):
    """What an application raises to leave what takes too long."""


class Boom(BaseException):
    """What nobody expects."""


def too_late(signum: int, frame: Any) -> None:
    raise Late


@pytest.fixture(autouse=True)
def _handled() -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, too_late)
    yield
    signal.signal(signal.SIGUSR1, before)


class Loop:
    """As much of a loop as a handle asks for; what is asked for its stopwatch may do something else first."""

    def __init__(self, state: Any, first: Callable[[], None] = lambda: None) -> None:
        self.state = state
        self.first = [first]

    @property
    def _loopwatch(self) -> Any:
        if self.first:
            self.first.pop()()
        return self.state

    def get_debug(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        raise AssertionError(context)


class Alarm:
    asleep = False


class Bench:
    """A run and a select of one make, with a clock that may fail."""

    def __init__(self, name: str) -> None:
        self.module = implementation(name)
        self.clock = FakeClock(0.0)
        self.fails: list[BaseException] = []
        self.adopted = 0
        self.ran: list[Any] = []
        self.state = self.stopwatch()

    def stopwatch(self, kind: Any = None) -> Any:
        state = (kind or self.module.Stopwatch)()
        state.mark = state.turn = 0.0
        return state

    def time(self) -> float:
        if self.fails:
            raise self.fails.pop()
        return self.clock()

    def adopt(self, handle: Any) -> Any:
        self.adopted += 1
        return self.state

    def run(self, loop: Loop, callback: Callable[..., object] | None = None) -> None:
        run = self.module.make_run(asyncio.Handle._run, self.adopt, self.time)
        run(asyncio.Handle(callback or self.ran.append, () if callback else (1,), loop))  # type: ignore[arg-type]

    def select(self, poll: Callable[..., Any], timeout: Any = None) -> Any:
        return self.module.make_select(self.state, poll, Alarm(), self.time)(timeout)


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


# --- while it is asked -------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGUSR1, signal.SIGINT], ids=["a signal of its own", "ctrl-c"])
def test_a_signal_while_a_loop_is_asked_for_its_stopwatch_arrives(bench: Bench, signum: signal.Signals) -> None:
    """Though what it raises derives from ``Exception``; the callback does not run."""
    with pytest.raises((Late, KeyboardInterrupt)):
        bench.run(Loop(bench.state, lambda: signal.raise_signal(signum)))
    assert (bench.ran, bench.adopted) == ([], 0)


def test_a_signal_whose_handler_finds_no_attribute_arrives_too(bench: Bench) -> None:
    """The error of a loop that has no stopwatch is none of the application's, one from a handler is."""

    def handle(signum: int, frame: Any) -> None:
        raise AttributeError("of the handler")

    signal.signal(signal.SIGUSR1, handle)
    with pytest.raises(AttributeError, match="of the handler"):
        bench.run(Loop(bench.state, lambda: signal.raise_signal(signal.SIGUSR1)))
    assert (bench.ran, bench.adopted) == ([], 0)


@pytest.mark.parametrize("error", [AttributeError, ValueError, RecursionError])
def test_a_loop_that_fails_when_asked_is_adopted(bench: Bench, error: type[Exception]) -> None:
    """What it raises by itself is not the application's: it would not have been asked. The step runs, and is timed."""

    def fail() -> None:
        raise error

    loop = Loop(bench.state)
    loop.first[:] = [fail, fail]  # the accelerator asks, and then the one in Python
    bench.run(loop)
    assert (bench.ran, bench.adopted) == ([1], 1)
    assert bench.state.quick == 1


FIRST: list[Callable[[], None]] = []


class Asked(type):
    """A class that does something before it is asked for an attribute."""

    def __getattribute__(cls, name: str) -> Any:
        if FIRST and name != "__class__":
            FIRST.pop()()
        return super().__getattribute__(name)


@pytest.mark.parametrize("poll", [False, True], ids=["step", "poll"])
def test_a_signal_while_the_class_of_a_stopwatch_is_looked_at_arrives(poll: bool) -> None:
    """The accelerator asks each new class for its fields."""
    bench = Bench("c")

    class Own(bench.module.Stopwatch, metaclass=Asked):  # type: ignore[misc, name-defined]
        __slots__ = ()

    bench.state = bench.stopwatch(Own)
    FIRST.append(lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        if poll:
            bench.select(lambda timeout: [], 0)
        else:
            bench.run(Loop(bench.state))
    assert (bench.ran, bench.adopted, FIRST) == ([], 0, [])


def test_a_class_that_fails_when_it_is_looked_at_is_left_to_python() -> None:
    """Where nothing is certain the one in Python does it."""
    bench = Bench("c")

    class Own(bench.module.Stopwatch, metaclass=Asked):  # type: ignore[misc, name-defined]
        __slots__ = ()

    def fail() -> None:
        raise ValueError

    bench.state = bench.stopwatch(Own)
    FIRST.append(fail)
    bench.run(Loop(bench.state))
    assert (bench.ran, bench.adopted, FIRST) == ([1], 0, [])
    assert bench.state.quick == 1


# --- while another is on its way ---------------------------------------------------------------


def leave() -> None:
    raise SystemExit(3)


def chain(error: BaseException | None) -> list[str]:
    found = []
    while error is not None:
        found.append(repr(error))
        error = error.__context__
    return found


def test_what_fails_as_a_failed_step_ends_has_that_failure_for_its_context(bench: Bench) -> None:
    """As in a ``finally``: both are in the traceback."""
    bench.fails.append(Boom("of the clock"))
    with pytest.raises(Boom) as caught:
        bench.run(Loop(bench.state), leave)
    assert chain(caught.value) == ["Boom('of the clock')", "SystemExit(3)"]


def test_what_fails_as_a_failed_poll_ends_has_that_failure_for_its_context(bench: Bench) -> None:
    """Likewise."""

    def poll(timeout: Any) -> Any:
        bench.fails.append(Boom("of the clock"))
        raise OSError("of the poll")

    with pytest.raises(Boom) as caught:
        bench.select(poll)
    assert chain(caught.value) == ["Boom('of the clock')", "OSError('of the poll')"]


def test_while_a_failed_step_ends_its_failure_is_the_one_being_handled(bench: Bench) -> None:
    """And afterwards the one that was so before, whether something else fails or not."""
    seen: list[Any] = []

    class Own(bench.module.Stopwatch):  # type: ignore[misc, name-defined]
        def slow_step(self, handle: Any, now: float) -> None:
            seen.append(repr(sys.exc_info()[1]))

    def leave_late() -> None:
        bench.clock.advance(1.0)
        raise SystemExit(3)

    bench.state = bench.stopwatch(Own)
    outer = ValueError("outside")
    for fails in (False, True):
        bench.fails[:] = [Boom("of the clock")] * fails
        try:
            raise outer
        except ValueError:
            with pytest.raises((SystemExit, Boom)) as caught:
                bench.run(Loop(bench.state), leave_late)
            assert sys.exc_info()[1] is outer
        assert sys.exc_info()[1] is None
        assert chain(caught.value) == ["Boom('of the clock')"] * fails + ["SystemExit(3)", "ValueError('outside')"]
    assert seen == ["SystemExit(3)"]
