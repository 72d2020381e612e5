"""What is given to a loop of uvloop before it runs, or in the child of a fork, is timed in one state of that loop."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import pytest

import loopwatch
from loopwatch.observe.uvloops import uvloop_entry
from loopwatch.observe.uvloops.calls import IN_C
from loopwatch.observe.uvloops.uvloop_state import UvloopState
from tests.programs import run

uvloop = pytest.importorskip("uvloop")


def test_threads_that_give_a_loop_its_first_callbacks_share_its_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes while another makes the state waits for it: of two, one would be counted in and never seen."""
    ran: list[int] = []
    with loopwatch.install(reporters=[], prometheus=False, exact_uvloop=True) as watch:
        uvloop.new_event_loop().close()  # it is proven that loops can be watched
        from loopwatch.observe.uvloops import uvloop_loop

        made: list[Any] = []
        loop = uvloop.new_event_loop()
        second = threading.Thread(target=lambda: loop.call_soon_threadsafe(ran.append, 2))

        class Slow(UvloopState):
            """Takes its time to be made, in which the other thread gives its callback."""

            def __init__(self, *given: Any) -> None:
                made.append(self)
                if len(made) == 1:
                    second.start()
                    second.join(0.2)  # unhindered it has long ended
                super().__init__(*given)

        monkeypatch.setattr(uvloop_loop, "UvloopState", Slow)
        assert uvloop_entry.watcher is not None
        loop.call_soon_threadsafe(ran.append, 1)
        second.join(10)
        assert len(made) == 1 and [each for each in watch._loops.states.values() if each.loop() is loop] == made
        loop.call_soon(loop.stop)
        loop.run_forever()
        assert sorted(ran) == [1, 2]
        assert made[0].quick == 3 and made[0].exact.calls.waiting == 0
        assert list(watch._faults) == []
        loop.close()


FORKED = """
    import asyncio, os, sys, warnings
    import loopwatch, uvloop
    warnings.simplefilter("ignore", DeprecationWarning)  # to fork with threads is what is tested

    async def work():
        for _ in range(100):
            await asyncio.sleep(0)

    async def fork_inside():
        await asyncio.sleep(0)
        if os.fork() == 0:
            await work()
            tell("inside")
        os.wait()

    def tell(where):
        (stats,) = [each for each in watch.snapshot().loops if each.alive]
        print(where, 90 <= stats.steps <= 130, list(watch._faults), flush=True)
        os._exit(0)

    watch = loopwatch.install(reporters=[], prometheus=False, exact_uvloop=True)
    ran, fresh = uvloop.new_event_loop(), uvloop.new_event_loop()
    ran.run_until_complete(work())
    fresh.call_soon(int)
    for where, loop in ("ran before", ran), ("not yet run", fresh), ("new", None):
        if os.fork() == 0:
            loop = loop or uvloop.new_event_loop()
            loop.run_until_complete(work())
            tell(where)
        os.wait()
    if sys.version_info < (3, 14):  # from then on asyncio forgets, in a child, that the loop runs, and its tasks fail
        ran.run_until_complete(fork_inside())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_child_of_a_fork_has_exact_times() -> None:
    """Of a loop from before and of a new one, also where it was a step of the loop that forked."""
    done = run(FORKED, LOOPWATCH_REQUIRE_C="1" if IN_C else "")
    inside = ["inside True []"] if sys.version_info < (3, 14) else []
    told = [f"{where} True []" for where in ("ran before", "not yet run", "new")]
    assert done.stdout.splitlines() == told + inside, done.stderr
