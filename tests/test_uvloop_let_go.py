"""A look never reads the counters of a uvloop loop that is gone, whatever the watch and the loop do meanwhile."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from loopwatch.observe.looks.alarm import Alarm
from loopwatch.observe.loops.loop_state import Outlets
from loopwatch.observe.resting.rests import IN_C
from loopwatch.observe.uvloops.uvloop_state import UvloopState
from loopwatch.testing import RecordingReporter
from tests.holding import watching
from tests.programs import run

uvloop = pytest.importorskip("uvloop")


class Looked:
    """libuv, with something that happens in the middle of each look."""

    def __init__(self, libuv: Any, meanwhile: Callable[[], None]) -> None:
        self._libuv = libuv
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._libuv, name)

    def turns(self, pointer: int) -> int:
        self._meanwhile()
        turns: int = self._libuv.turns(pointer)
        return turns


def only_state(watch: Any) -> UvloopState:
    (state,) = [each for each in watch._loops.states.values() if isinstance(each, UvloopState)]
    return state


def test_our_close_stays_until_the_last_look_is_over(events: RecordingReporter) -> None:
    """It keeps the loop from being closed under a look; an uninstall from another thread waits for the look."""
    inside, taken, guarded = threading.Event(), threading.Event(), list[bool]()

    def meanwhile() -> None:
        if threading.current_thread() is looker:
            inside.set()
            taken.wait(0.2)
            guarded.append("close" in vars(uvloop.Loop))

    def uninstall() -> None:
        assert inside.wait(10)
        watch._hooks.foreign_loops.uninstall()  # its numbers were kept before the look began
        taken.set()

    with watching(events) as watch:
        loop = uvloop.new_event_loop()
        loop.run_until_complete(asyncio.sleep(0))
        state = only_state(watch)
        state.ran -= watch._loops.outlets.clock()  # as while it runs, in a thread of its own
        state._libuv = Looked(state._libuv, meanwhile)  # type: ignore[assignment]
        looker = threading.Thread(target=state.glance)
        uninstalling = threading.Thread(target=uninstall)
        uninstalling.start()
        looker.start()
        looker.join()
        uninstalling.join()
        assert "close" not in vars(uvloop.Loop)
        loop.close()
    assert guarded and all(guarded)


def test_a_loop_that_is_not_watched_any_more_is_not_asked(events: RecordingReporter) -> None:
    """The sampler may still hold its state, and nobody would tell that the loop was closed."""

    async def main() -> UvloopState:
        with watching(events) as watch:
            await asyncio.sleep(0.01)
            return only_state(watch)

    state = uvloop.run(main())
    assert state._pointer is None
    state.refresh()
    assert not state.holds(state.mark)


class Running:
    """As much of a loop as is asked for."""

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False


class Counters:
    idle_address, count_idle = 0, int

    def pointer_of(self, loop: Any) -> int:
        return 1

    def configure(self, pointer: int) -> None:
        pass

    def idle(self, pointer: int) -> float:
        return 0.0

    def turns(self, pointer: int) -> int:
        return 1


def made(loop: Any, libuv: Any) -> UvloopState:
    state = UvloopState(loop, 0.1, Outlets(Alarm(), deque(), deque(), lambda state: None), libuv)
    state.begin(0.0, threading.get_ident(), "MainThread", 0)
    return state


def test_a_close_that_is_refused_brings_nothing_back() -> None:
    """Where the watch has gone meanwhile."""
    loop = Running()
    state = made(loop, Counters())
    pointer = state.before_close()
    assert pointer == 1
    state.not_closed(pointer)
    assert state._pointer == 1
    state.before_close()
    state.let_go()
    state.not_closed(pointer)
    assert state._pointer is None


LOOKS: dict[str, Callable[[UvloopState], object]] = {
    "glance": lambda state: state.glance(),
    "times": lambda state: state.times(0.0),
    "holds": lambda state: state.holds(0.0),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_loop_that_is_forgotten_lives_until_the_look_is_over(look: str) -> None:
    """One that nobody closes frees its counters when its last user lets go of it."""
    loops = [Running()]
    there = weakref.ref(loops[0])
    alive: list[bool] = []

    def forget() -> None:
        loops.clear()
        gc.collect()
        alive.append(there() is not None)

    state = made(loops[0], Counters())
    state._libuv = Looked(Counters(), forget)  # type: ignore[assignment]
    LOOKS[look](state)
    assert alive and all(alive)
    gc.collect()
    assert there() is None


FORKED = """
    import asyncio, os, threading, time, warnings
    import loopwatch, uvloop
    from loopwatch.observe.uvloops.uvloop_state import UvloopState
    warnings.simplefilter("ignore", DeprecationWarning)  # to fork with threads is what is tested

    async def main():
        await asyncio.sleep(0.01)
        (state,) = [each for each in watch._loops.states.values() if isinstance(each, UvloopState)]
        held, over = threading.Event(), threading.Event()
        def look():
            with state._gate:
                held.set()
                over.wait()
        looker = threading.Thread(target=look)
        looker.start()
        held.wait()
        if (child := os.fork()) == 0:
            watch.uninstall()  # asks the same of the gate as the end of the run, which uvloop cannot have on 3.15
            os._exit(7)
        over.set()
        looker.join()
        deadline = time.monotonic() + 10
        while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        if ended == (0, 0):
            os.kill(child, 9)
            os.waitpid(child, 0)
        print("exit", os.waitstatus_to_exitcode(ended[1]) if ended[0] else "never")

    with loopwatch.install(reporters=[], prometheus=False) as watch:
        uvloop.run(main())
"""


DOZING = """
    import asyncio, os, time, warnings
    import loopwatch, uvloop
    warnings.simplefilter("ignore", DeprecationWarning)

    async def main():
        for _ in range(500):
            await asyncio.sleep(0.02)
            if watch._alarm.asleep:
                break
        time.sleep(0.002)  # its loop is looked at each millisecond, and has not been held for long
        ended = []
        for _ in range(20):
            if (child := os.fork()) == 0:
                asyncio._set_running_loop(None)
                uvloop.run(asyncio.sleep(0.005))  # a loop and a sampler of its own
                watch.uninstall()
                os._exit(7)
            deadline = time.monotonic() + 10
            while (last := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
                await asyncio.sleep(0.003)
            if last == (0, 0):
                os.kill(child, 9)
                os.waitpid(child, 0)
            ended.append(os.waitstatus_to_exitcode(last[1]) if last[0] else "never")
        print(set(ended))

    with loopwatch.install(reporters=[], prometheus=False, threshold=0.001) as watch:
        uvloop.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_child_of_a_fork_while_the_sampler_dozes_has_a_watch_of_its_own() -> None:
    """Whatever the thread that is not there had in hand."""
    done = run(DOZING)
    assert done.stdout == "{7}\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_child_of_a_fork_in_the_middle_of_a_look_ends() -> None:
    """The thread that looked is not there to end its look; the child's own run ends all the same."""
    done = run(FORKED)
    assert done.stdout == "exit 7\n", done.stderr


def test_a_close_that_was_taken_before_ours_was_in_place_is_none_of_our_business() -> None:
    """The run had begun before, too: so nobody tells of its end, nor that the counters are gone."""
    told = run(
        """
        import asyncio, contextlib, time, loopwatch, uvloop

        async def main():
            loopwatch.install(threshold=0.05)
            await asyncio.sleep(0.5)

        with contextlib.ExitStack() as stack:
            loop = uvloop.new_event_loop()
            stack.callback(loop.close)
            loop.run_until_complete(main())
        time.sleep(0.3)
        print(loop.is_closed(), loopwatch.current() is not None)
        """
    )
    assert (told.returncode, told.stdout) == (0, "True True\n"), told.stderr


ASKED = """
import gc, os, threading, time, warnings

warnings.simplefilter("ignore", DeprecationWarning)  # to fork with threads is what is tested
given = []

def note(until=0.0):  # the other thread may give itself what it likes meanwhile
    end = time.monotonic() + until
    while True:
        given.append(any(loop in gc.get_referents(state._gauge) for state in list(watch._loops.states.values())))
        if time.monotonic() >= end:
            return
        time.sleep(0.001)

os.register_at_fork(before=lambda: note(0.1))  # the first to be registered is the last to be called

import loopwatch, uvloop

def fork():  # no job of an executor: while one lasts the sampler is awake
    for _ in range(3):
        deadline = time.monotonic() + 10
        while not given or not given[-1]:  # until it dozes, also after a fork
            assert time.monotonic() < deadline, "it has not dozed"
            note()
        given.clear()
        if (child := os.fork()) == 0:
            os._exit(7)
        os.waitpid(child, 0)
        print(set(given))
    loop.call_soon_threadsafe(loop.stop)

with loopwatch.install(reporters=[], prometheus=False, threshold=0.01) as watch:
    loop = uvloop.new_event_loop()
    threading.Thread(target=fork, daemon=True).start()
    loop.call_later(40, loop.stop)
    loop.run_forever()
    loop.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
@pytest.mark.skipif(not IN_C, reason="in Python nobody is asked without the interpreter, which a fork needs")
def test_while_a_process_forks_nobody_is_within_libuv() -> None:
    """Who asks a loop holds a mutex of its, which would never be free in the child; and the next doze is as before."""
    done = run(ASKED)
    assert (done.returncode, done.stdout) == (0, "{False}\n" * 3), done.stderr
