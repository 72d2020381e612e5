"""Watched programs as a whole: forks, signals, exits, the environment."""

from __future__ import annotations

import json
import os
import re

import pytest

from tests.programs import run


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.realtime
def test_a_forked_child_is_watched_from_zero_and_the_parent_goes_on():
    """gunicorn preloads: the child's stalls are told by the child, and none of the parent's twice."""
    done = run(
        """
        import asyncio, os, sys, time, warnings, loopwatch
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: fork while our threads run, which is the point
        told = []
        def tell(event):
            if event.duration >= 0.4:  # not what a busy machine does to the rest
                told.append(event.coroutine)
        watch = loopwatch.install(threshold=0.1, reporters=[tell], prometheus=False)
        async def parent_work(): time.sleep(0.4)
        async def child_work(): time.sleep(0.4)
        asyncio.run(parent_work())
        watch.flush(5)
        child = os.fork()
        if child == 0:
            told.clear()
            asyncio.run(child_work())
            watch.flush(5)
            print("child", told, watch.snapshot().loops[0].steps < 30, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        asyncio.run(parent_work())
        watch.flush(5)
        print("parent", told)
        """
    )
    assert done.stdout.splitlines() == ["child ['child_work'] True", "parent ['parent_work', 'parent_work']"], (
        done.stderr
    )
    assert done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_collects_although_its_parent_was_looking_at_stacks():
    """The collector, paused for a look that nobody ends in the child, runs again; one that was off stays off."""
    done = run(
        """
        import gc, os, threading, warnings, loopwatch
        from loopwatch import _compat
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12+: fork while another thread runs
        _compat._COLLECTS_AMID_FRAMES = True  # as on Python 3.11
        with loopwatch.install(reporters=[], prometheus=False):
            pass
        def collects_in_a_child():
            child = os.fork()
            if child == 0:
                os._exit(7 if gc.isenabled() else 8)
            return {7: True, 8: False}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]
        def look():
            with _compat.uncollected():
                looking.set()
                go_on.wait(30)
        for enabled in (True, False):
            (gc.enable if enabled else gc.disable)()
            looking, go_on = threading.Event(), threading.Event()
            thread = threading.Thread(target=look)
            thread.start()
            looking.wait(30)
            meanwhile = gc.isenabled(), collects_in_a_child()
            go_on.set()
            thread.join()
            print(enabled, *meanwhile, gc.isenabled(), collects_in_a_child())
        """
    )
    assert done.stdout.splitlines() == ["True False True True True", "False False False False False"], done.stderr
    assert done.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="the signal is POSIX")
def test_ctrl_c_ends_a_watched_program_as_it_would_end_without():
    """KeyboardInterrupt travels through our frames; no traceback of ours, no hang."""
    done = run(
        """
        import asyncio, os, signal, threading, time, loopwatch
        loopwatch.install(reporters=[])
        async def main():
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.sleep(30)
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


def test_reporters_may_be_named_in_the_environment(tmp_path):
    """LOOPWATCH_REPORTERS takes log, jsonl:PATH and package.module:callable."""
    file = tmp_path / "events.jsonl"
    done = run(
        """
        import asyncio, time, loopwatch
        async def main(): time.sleep(0.3)
        with loopwatch.install():
            asyncio.run(main())
        """,
        LOOPWATCH_REPORTERS=f"log,jsonl:{file}",
        LOOPWATCH_THRESHOLD="0.1",
    )
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in file.read_text().splitlines()]
    assert "main" in [event["coroutine"] for event in told if event["event"] == "stall"]
    assert "Event loop 'main' was held" in done.stderr


def test_process_pools_are_seen_also_when_they_are_imported_later():
    """Their module is heavy, so it is not imported for the watch; the first import of the application is noticed."""
    done = run(
        """
        import sys, loopwatch
        with loopwatch.install(reporters=[], prometheus=False) as watch:
            print("multiprocessing" in sys.modules)
            from concurrent.futures import Executor, ProcessPoolExecutor
            if __name__ == "__main__":
                with ProcessPoolExecutor(1) as pool:
                    print(pool.submit(pow, 2, 3).result())
                watch.flush(5.0)
                print([(each.kind, each.outcomes) for each in watch.snapshot().executors])
        print("__init_subclass__" in vars(Executor), hasattr(ProcessPoolExecutor.submit, "__wrapped__"))
        """
    )
    lines = ["False", "8", "[('process', {'completed': 1})]", "False False"]
    assert done.stdout.splitlines() == lines, done.stderr


@pytest.mark.realtime
def test_a_stall_is_told_at_exit():
    """A program that ends without uninstalling has still told its last stall."""
    done = run(
        """
        import asyncio, logging, time, loopwatch
        logging.basicConfig(format="%(levelname)s %(message)s")
        loopwatch.install(threshold=0.1)
        async def main():
            time.sleep(0.3)
        asyncio.run(main())
        """
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"WARNING Event loop 'main' was held \d+ ms", done.stderr)
    assert "time.sleep" in done.stderr
