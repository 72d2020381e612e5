"""What is under way can be cut: what it was so far is one step, the rest another."""

from __future__ import annotations

import asyncio
import os
import threading
import time

import pytest

import loopwatch
from loopwatch import stand_in
from loopwatch.facts import HandleFacts
from loopwatch.pytest_plugin.timeline import Phase, Timeline
from loopwatch.testing import RecordingReporter
from loopwatch.testing.post import Post
from loopwatch.testing.slowest import Slowest
from loopwatch.testing.terms import Terms
from tests.bench import Watching, new_loop


def test_a_step_that_is_cut_is_two(watching: Watching) -> None:
    """Of the 70 ms before the cut and the 20 ms after it, the first alone are a stall."""
    hook, clock = watching.hook, watching.clock

    async def main() -> None:
        await asyncio.sleep(0)
        clock.advance(0.07)
        hook.cut()
        clock.advance(0.02)

    with new_loop(clock) as loop:
        loop.run_until_complete(main())
    held = [each.ended - each.started for each in hook.outlets.held]
    assert held == [pytest.approx(0.07)]


@pytest.mark.needs("uvloop")
def test_a_step_of_uvloop_is_cut_as_well(watch: loopwatch.Watch, events: RecordingReporter) -> None:
    """By libuv's counters, read where the cut is."""
    import uvloop

    async def main() -> None:
        await asyncio.sleep(0.01)
        time.sleep(0.12)
        watch._loops.cut()
        time.sleep(0.12)
        await asyncio.sleep(0.01)

    loop = uvloop.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    watch.flush()
    assert [round(stall.duration, 1) for stall in events.stalls] == [0.1, 0.1]


def test_a_loop_is_restless_while_a_step_that_began_before_is_no_stall_yet(watch: loopwatch.Watch) -> None:
    """In another thread; where it waits, or is held already, there is nothing to wait for."""
    begun, end = threading.Event(), threading.Event()

    async def main() -> None:
        await asyncio.sleep(0)
        begun.set()
        end.wait(5)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    now = watch._loops.outlets.clock
    thread.start()
    begun.wait()
    first = watch._loops.restless(now())
    time.sleep(0.1)
    later = watch._loops.restless(now())
    end.set()
    thread.join()
    assert (first, later, watch._loops.restless(now())) == (True, False, False)


def test_the_watch_for_tests_makes_way_and_comes_back() -> None:
    """It is no current one; with nobody who wants it nothing is left of it."""
    post = Post()
    post.want("me", Terms(threshold=0.2))
    post.want("you", Terms(threshold=0.1))
    mine = post.watch
    assert mine is not None and mine.settings.threshold == 0.1
    assert loopwatch.current() is None
    with loopwatch.install(prometheus=False) as theirs:
        assert post.watch is theirs and not post.ours
        assert not mine._installed
    assert post.ours and post.watch is not None and post.watch.settings.threshold == 0.1
    post.want("you", None)
    assert post.watch.settings.threshold == 0.2
    post.want("me", None)
    assert post.watch is None
    assert type(stand_in.who()) is stand_in.StandIn


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_watch_for_tests_goes_on_in_a_forked_child() -> None:
    """As one of the application's does."""
    post = Post()
    post.want("me", Terms())
    heard: list[float] = []
    post.ears.append(lambda event, began, left_by: heard.append(began))
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(hold_for(0.12))
            assert post.watch is not None
            post.watch.flush(5)
        finally:
            os._exit(len(heard))
    _, status = os.waitpid(child, 0)
    post.want("me", None)
    assert os.waitstatus_to_exitcode(status) == 1


async def hold_for(seconds: float) -> None:
    time.sleep(seconds)


def test_the_slowest_steps_are_kept_and_no_others() -> None:
    """By the seconds they ran; what is not wanted takes no place, and what is quicker than all need not be told."""
    slowest = Slowest(2, lambda started: started >= 1.0)
    slowest.add(0.5, 9.0, HandleFacts("callback", coroutine="unwatched"))
    for seconds in (0.01, 0.03, 0.02):
        slowest.add(1.0, seconds, HandleFacts("callback", coroutine=f"c{seconds}", module="shop"))
    assert [step.name for step in slowest.steps()] == ["shop.c0.03", "shop.c0.02"]
    assert slowest.least == 0.02


def test_each_moment_belongs_to_the_phase_that_began_last() -> None:
    """Its beginning included; before the first is between."""
    timeline = Timeline()
    timeline.begin(1.0, Phase("setup", "a"))
    timeline.begin(2.0, Phase("call", "a"))
    found = [timeline.at(moment).category for moment in (0.5, 1.0, 1.9, 2.0, 99.0)]
    assert found == ["between", "setup", "setup", "call", "call"]
