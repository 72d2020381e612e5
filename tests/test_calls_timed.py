"""What is given to a loop of uvloop is timed, by each implementation, and nobody else can tell."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.stopwatch.steps import NEVER
from loopwatch.observe.uvloops.calls import IN_C
from loopwatch.testing import RecordingReporter
from tests.holding import HELD, WARM, longest
from tests.implementations import NAMES
from tests.made_timed_calls import BOUND, SLOW_FROM, Bench, Loop


@pytest.fixture(params=NAMES)
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(request.param)


def test_what_is_quick_or_brief_is_counted_and_the_rest_is_told(bench: Bench) -> None:
    """A duration that is equal to the bound is quick, and one that is equal to what is slow is told."""
    for seconds in (0.0, BOUND, 1.5 * BOUND, SLOW_FROM):
        bench.call_soon(bench.loop, bench.clock.advance, seconds)
    bench.loop.run()
    assert (bench.calls.quick, bench.calls.brief) == (2, 1)
    assert bench.calls.seconds == 2.5 * BOUND + SLOW_FROM
    assert bench.slow == [(bench.clock.advance, 10.0 + 2.5 * BOUND, 10.0 + 2.5 * BOUND + SLOW_FROM)]


def test_what_runs_is_published_while_it_runs(bench: Bench) -> None:
    """With when it began, and how many wait behind it."""
    seen = []

    def look() -> None:
        seen.append((bench.calls.began, bench.calls.running, bench.calls.behind))

    bench.call_soon(bench.loop, look)
    bench.call_soon(bench.loop, int)
    assert bench.calls.waiting == 2
    bench.loop.run()
    assert seen == [(10.0, look, 1)]
    assert (bench.calls.began, bench.calls.running, bench.calls.waiting) == (NEVER, None, 0)


def test_what_is_cancelled_waits_no_more(bench: Bench) -> None:
    """A handle that is cancelled drops its callback."""
    bench.call_soon(bench.loop, int)
    bench.loop.given.clear()
    assert bench.calls.waiting == 0


def test_what_is_raised_goes_on_and_is_timed(bench: Bench) -> None:
    """And what tells of it does not change it."""
    error = KeyError("mine")

    def fail() -> None:
        bench.clock.advance(1.0)
        raise error

    bench.call_soon(bench.loop, fail)
    with pytest.raises(KeyError) as caught:
        bench.loop.run()
    assert caught.value is error and error.__context__ is None
    assert [spent for _, *spent in bench.slow] == [[10.0, 11.0]]


def test_the_stand_in_answers_as_the_callback_does(bench: Bench) -> None:
    """Its name, its text, what it is equal to, and what it is bound to."""
    given: dict[str, int] = {}
    assert bench.call_soon(bench.loop, given.get, 1, context="c") == "handle in c"
    (stand_in, args) = bench.loop.given[0]
    assert args == (1,)
    assert (repr(stand_in), str(stand_in), stand_in.__qualname__) == (repr(given.get), str(given.get), "dict.get")
    assert stand_in == given.get and hash(stand_in) == hash(given.get) and stand_in.__self__ is given
    assert f"{stand_in}" == f"{given.get}"


def test_nothing_stands_in_for_what_is_not_watched(bench: Bench) -> None:
    """Another loop, no callback at all, and what is scheduled after the watch has let go."""
    other = Loop()
    bench.call_soon(other, int)
    bench.call_soon(bench.loop, None)
    bench.calls.let_go()
    bench.call_soon(bench.loop, int)
    assert other.given == [(int, ())]
    assert bench.loop.given == [(None, ()), (int, ())]


def test_what_was_scheduled_before_the_watch_let_go_still_runs(bench: Bench) -> None:
    """Unwatched."""
    bench.call_soon(bench.loop, bench.clock.advance, 1.0)
    bench.calls.let_go()
    bench.loop.run()
    assert bench.clock() == 11.0 and bench.slow == [] and bench.calls.seconds == 0.0


def test_letting_go_within_a_call_ends_it_cleanly(bench: Bench) -> None:
    """What runs then is told of no more."""

    def let_go() -> None:
        bench.clock.advance(1.0)
        bench.calls.let_go()

    bench.call_soon(bench.loop, let_go)
    bench.loop.run()
    assert bench.slow == [] and bench.calls.began == NEVER


def test_nothing_is_kept(bench: Bench) -> None:
    """Callbacks end with their handles, also where they are part of a cycle."""

    class Callback:
        def __call__(self) -> None: ...

    callbacks = [Callback() for _ in range(600)]
    ends = [weakref.ref(each) for each in callbacks]
    for each in callbacks:
        bench.call_soon(bench.loop, each)
    bench.loop.run()
    looped = Callback()
    ends.append(weakref.ref(looped))
    bench.call_soon(bench.loop, looped)
    looped.cycle = bench.loop.given.pop()  # type: ignore[attr-defined]
    del callbacks, looped, each
    gc.collect()
    assert [end() for end in ends if end() is not None] == []


# --- on real loops ---------------------------------------------------------------------------------------------


@pytest.fixture
def uvloop() -> Any:
    return pytest.importorskip("uvloop")


@pytest.fixture
def watch(uvloop: Any, events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with loopwatch.install(threshold=0.1, reporters=[events], prometheus=False, exact_uvloop=True) as watch:
        yield watch


def test_a_stall_is_told_once_and_exactly(uvloop: Any, watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """With its step, whose name is known, also where it is a function of C, and what waited behind it."""

    async def main() -> None:
        await asyncio.sleep(WARM)
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, HELD)
        for _ in range(3):
            loop.call_soon(int)
        await asyncio.sleep(0.05)

    uvloop.run(main())
    stall = longest(events)
    assert (stall.kind, stall.callback, stall.delayed) == ("step", "time.sleep", 3)
    assert "exact" not in stall.evidence and HELD <= stall.duration < HELD + 0.1
    assert [each for each in events.stalls if each.duration >= HELD] == [stall]


def test_the_first_step_of_a_program_is_timed(uvloop: Any, watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """It was scheduled before the loop ran."""

    async def main() -> None:
        time.sleep(HELD)

    uvloop.run(main())
    stall = longest(events)
    assert "exact" not in stall.evidence and stall.task is not None


def test_steps_are_counted_with_their_durations(uvloop: Any, watch: loopwatch.Watch) -> None:
    """As on asyncio's own loops."""

    async def main() -> None:
        for _ in range(500):
            await asyncio.sleep(0)

    uvloop.run(main())
    (stats,) = watch.snapshot().loops
    assert stats.steps >= 500
    assert sum(stats.step_duration.counts) == stats.steps and 0 < stats.step_duration.sum <= stats.active


def test_many_short_steps_are_one_turn(uvloop: Any, watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """Named by what filled it."""

    async def main() -> None:
        await asyncio.sleep(WARM)
        for _ in range(40):
            asyncio.get_running_loop().call_soon(time.sleep, 0.01)
        await asyncio.sleep(0.05)

    uvloop.run(main())
    stall = longest(events)
    assert (stall.kind, stall.callback) == ("turn", "many callbacks")
    assert stall.contributors[0].name == "time.sleep" and stall.contributors[0].steps >= 30


def test_a_handle_is_as_before(uvloop: Any, watch: loopwatch.Watch) -> None:
    """Its text, its time, its context, what cancelling does, and what an error of its callback is told with."""
    told: list[dict[str, Any]] = []
    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable")
    seen: list[int] = []

    def fail() -> None:
        raise ValueError("mine")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        context = contextvars.copy_context()
        context.run(variable.set, 7)
        loop.call_soon(lambda: seen.append(variable.get()), context=context)
        loop.call_soon(fail)
        timer = loop.call_at(loop.time() + 0.001, seen.append, 8)
        gone = loop.call_soon(seen.append, 9)
        assert repr(gone) == "<Handle list.append>" and "append" in repr(timer)
        assert timer.when() > 0
        gone.cancel()
        assert gone.cancelled() and not timer.cancelled()
        await asyncio.sleep(0.05)

    uvloop.run(main())
    assert sorted(seen) == [7, 8]
    (error,) = told
    assert error["message"] == f"Exception in callback {fail}"
    names = []
    trace = error["exception"].__traceback__
    while trace is not None:
        if not trace.tb_frame.f_code.co_name.startswith("uvloop."):  # Cython's own
            names.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert names == (["fail"] if IN_C else ["__call__", "fail"])


def test_debug_mode_still_refuses_other_threads(uvloop: Any, watch: loopwatch.Watch) -> None:
    """And nothing of the refused callback waits."""
    refused: list[BaseException] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)

        def schedule() -> None:
            try:
                loop.call_soon(int)
            except RuntimeError as error:
                refused.append(error)

        thread = threading.Thread(target=schedule)
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.001)

    uvloop.run(main())
    assert len(refused) == 1 and "Non-thread-safe" in str(refused[0])
    assert watch.snapshot().loops[0].ready == 0


def test_uninstalling_within_a_step_leaves_the_class_as_it_was(uvloop: Any) -> None:
    """And what was scheduled before runs."""
    before = dict(vars(uvloop.Loop))
    ran: list[int] = []

    async def main() -> None:
        with loopwatch.install(reporters=[], prometheus=False, exact_uvloop=True):
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_soon(ran.append, 1)
            asyncio.get_running_loop().call_later(0.01, ran.append, 2)
        await asyncio.sleep(0.05)

    uvloop.run(main())
    assert sorted(ran) == [1, 2]  # to uninstall may take longer than the timer
    assert dict(vars(uvloop.Loop)) == before


def test_callbacks_are_left_alone_where_they_are_not_to_be_timed(uvloop: Any, events: RecordingReporter) -> None:
    """By the setting, and by default where it would have to be done in Python; the coverage says which it is."""
    for choice, timed in ((False, False), ("auto", IN_C), (True, True)):
        with loopwatch.install(reporters=[events], prometheus=False, exact_uvloop=choice) as watch:
            uvloop.new_event_loop().close()

            async def main() -> None:
                await asyncio.sleep(0)

            uvloop.run(main())
            assert ("call_soon" in vars(uvloop.Loop)) is timed
            assert (watch.snapshot().loops[0].steps > 0) is timed
            (said,) = [each.detail for each in watch.snapshot().coverage if "uvloop" in each.subject]
            assert ("timed one by one" in said) is timed


def test_a_loop_that_nobody_closes_ends(uvloop: Any, watch: loopwatch.Watch) -> None:
    """Nothing of ours keeps it, and another at its address is another loop."""
    loop = uvloop.new_event_loop()
    loop.call_soon(int)
    loop.run_until_complete(asyncio.sleep(0))
    calls = loop._loopwatch.exact.calls
    loop.close()
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
    assert calls.waiting == 0
