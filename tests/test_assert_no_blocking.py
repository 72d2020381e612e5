"""``loopwatch.testing.assert_no_blocking``: around a block of code or a function, with any test framework."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import loopwatch
from loopwatch.testing import assert_no_blocking
from tests.programs import hold


async def hold_for(seconds: float) -> None:
    time.sleep(seconds)


def test_it_passes_where_nothing_blocks() -> None:
    """Around a loop, and inside one; afterwards nothing is left installed."""
    with assert_no_blocking():
        asyncio.run(asyncio.sleep(0.01))

    async def main() -> None:
        async with assert_no_blocking():
            await asyncio.sleep(0.01)
        with assert_no_blocking():
            pass  # a part of a step is measured, too

    asyncio.run(main())
    assert loopwatch.current() is None


def test_it_raises_with_the_events_where_a_loop_is_held() -> None:
    """As an AssertionError that shows the line."""
    said = r"1 finding where nothing may block(?s:.)*time\.sleep\(seconds\)"
    with pytest.raises(AssertionError, match=said) as caught, assert_no_blocking():
        asyncio.run(hold_for(0.2))
    assert isinstance(caught.value, loopwatch.Blocked)
    (stall,) = caught.value.events
    assert isinstance(stall, loopwatch.Stall) and stall.culprit is not None
    assert stall.culprit.function == "hold_for"


def test_what_was_before_and_comes_after_in_the_same_step_is_not_held_against_it() -> None:
    """The step is cut at both ends."""

    async def main() -> None:
        time.sleep(0.2)
        with assert_no_blocking():
            await asyncio.sleep(0)
        time.sleep(0.2)

    async def in_one_step() -> None:
        time.sleep(0.2)
        with assert_no_blocking():
            pass
        time.sleep(0.2)
        with pytest.raises(loopwatch.Blocked), assert_no_blocking():
            time.sleep(0.2)

    asyncio.run(main())
    asyncio.run(in_one_step())


def test_it_decorates_functions_of_both_kinds() -> None:
    """Each call is watched by itself, also several at a time."""

    @assert_no_blocking(threshold=0.06)
    async def work(seconds: float) -> str:
        await asyncio.sleep(0.01)
        await hold_for(seconds)
        return "done"

    @assert_no_blocking()
    def plain() -> int:
        asyncio.run(hold_for(0.2))
        return 1

    async def both() -> list[str]:
        return list(await asyncio.gather(work(0), work(0.001)))

    assert asyncio.run(both()) == ["done", "done"]
    assert (work.__name__, plain.__name__) == ("work", "plain")
    with pytest.raises(loopwatch.Blocked):
        asyncio.run(work(0.15))
    with pytest.raises(loopwatch.Blocked):
        plain()


def test_a_generator_function_is_refused() -> None:
    """A call of it runs nothing."""

    def generate():
        yield 1

    with pytest.raises(TypeError, match="generate is a generator function"):
        assert_no_blocking()(generate)


def test_the_codes_own_exception_goes_first() -> None:
    """It is never replaced."""
    with pytest.raises(KeyError), assert_no_blocking():
        asyncio.run(hold_for(0.2))
        raise KeyError


def test_it_never_passes_by_default() -> None:
    """Where no loop ran a step nothing can be said."""
    with pytest.raises(loopwatch.NothingMeasured, match="no event loop ran a step"), assert_no_blocking():
        hold(0.01)


def test_its_terms_are_its_own() -> None:
    """Nested ones keep to theirs, sites may be allowed, and a wrong value is refused."""
    with assert_no_blocking(threshold=1), pytest.raises(loopwatch.Blocked), assert_no_blocking(threshold=0.05):
        asyncio.run(hold_for(0.2))
    with assert_no_blocking(allow=["*.hold_for"]):
        asyncio.run(hold_for(0.2))
    with pytest.raises(loopwatch.SettingsError, match="threshold"):
        assert_no_blocking(threshold=0)


def test_a_job_that_waits_for_a_worker_counts() -> None:
    """It waits in no loop's way, and still somebody waits for it."""

    async def main() -> None:
        with ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            await asyncio.gather(*(loop.run_in_executor(pool, hold, 0.1) for _ in range(3)))

    with pytest.raises(loopwatch.Blocked) as caught, assert_no_blocking(simulated_async=False):
        asyncio.run(main())
    assert [type(event) for event in caught.value.events] == [loopwatch.Backlog]


def test_it_listens_to_a_watch_that_is_there(watch: loopwatch.Watch) -> None:
    """And leaves it alone; what that does not tell it does not vouch for."""
    with pytest.raises(loopwatch.Blocked), assert_no_blocking():
        asyncio.run(hold_for(0.2))
    said = r"the threshold 0\.05, not 0\.01"
    with pytest.raises(loopwatch.NothingMeasured, match=said), assert_no_blocking(threshold=0.01):
        asyncio.run(asyncio.sleep(0))
    assert loopwatch.current() is watch
    assert watch.listeners == []


def test_a_loop_in_another_thread_counts() -> None:
    """Also where what it does has not ended when the block does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    begun = threading.Event()

    async def last() -> None:
        begun.set()
        time.sleep(0.3)

    with pytest.raises(loopwatch.Blocked) as caught, assert_no_blocking():
        asyncio.run_coroutine_threadsafe(last(), loop)
        begun.wait()
    (stall,) = caught.value.events
    assert isinstance(stall, loopwatch.Stall) and stall.in_progress
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
