"""What is seen is said, and so is what is not: in words, for each thing that is used and for no other."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import loopwatch
from loopwatch import _compat
from loopwatch.model import Coverage
from loopwatch.observe.looks.evidence import untold
from loopwatch.observe.stopwatch.steps import how_timed
from loopwatch.record.coverage import coverage
from loopwatch.report.readings import worst_coverage

ROOT = Path(__file__).resolve().parent.parent
LOOPS = Coverage("asyncio loops", "exact", "every step and every turn")
THREADS = Coverage("thread pools", "exact", "every job, from its submission to its end")
ALWAYS = (LOOPS, THREADS)


@pytest.fixture(autouse=True)
def with_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that has its lock, whatever runs the tests."""
    monkeypatch.setattr(_compat, "gil_enabled", lambda: True)


def more(**given: Any) -> list[Coverage]:
    """What is said beyond what is always said."""
    return [each for each in coverage(**given) if each not in ALWAYS]


def test_asyncio_and_thread_pools_are_always_spoken_of() -> None:
    """A process that uses nothing else has two entries, and both are exact."""
    assert coverage() == ALWAYS


# --- loops -------------------------------------------------------------------------------------


def test_another_tool_around_ours_is_said() -> None:
    """Steps are still seen, with that tool's time in them."""
    detail = "every step and every turn; what another tool does around each step (in Handle._run) counts as the step's"
    assert more(covered_up=True) == [Coverage("asyncio loops", "exact", detail)]


def test_the_stopwatch_is_named() -> None:
    """With the reason where it is not the fastest one."""
    (loops,) = more(timed="in Python: it cannot be loaded")
    assert str(loops) == "asyncio loops: exact (every step and every turn, timed in Python: it cannot be loaded)"


@pytest.mark.parametrize("covered_up", [False, True])
def test_asyncio_is_either_seen_or_not(covered_up: bool) -> None:
    """Where our function is called no more there is one entry for its loops, not an exact one beside a blind one."""
    found = coverage(covered_up=covered_up, blind={"asyncio": "it was torn out"})
    assert found == (Coverage("asyncio loops", "blind", "it was torn out"), THREADS)


def test_loops_that_are_not_seen_exactly_are_named() -> None:
    """By their type, with what is not exact."""
    assert more(partly={"shop.Loop": "its turns are its own"}) == [
        Coverage("loops of shop.Loop", "partial", "its turns are its own")
    ]


NOT_SEEN = "only the jobs that it gives to pools are seen"


def test_uvloop_is_blind_as_soon_as_it_is_imported() -> None:
    """Nobody waits for the first loop of it to be told."""
    detail = f"it runs its callbacks by code of its own, not by asyncio's: {NOT_SEEN}"
    assert more(modules=["uvloop"]) == [Coverage("loops of uvloop", "blind", detail)]


def test_each_foreign_kind_of_loop_is_named_with_its_reason() -> None:
    """Once such a loop was met it is called by its type, and uvloop is not told twice."""
    found = more(blind={"uvloop.Loop": "it is Cython", "shop.Loop": "it is ours"}, modules=["uvloop", "shop"])
    assert found == [
        Coverage("loops of uvloop.Loop", "blind", f"it is Cython: {NOT_SEEN}"),
        Coverage("loops of shop.Loop", "blind", f"it is ours: {NOT_SEEN}"),
    ]


def test_another_foreign_loop_does_not_hide_uvloop() -> None:
    """A name that only begins like it is another's."""
    found = more(blind={"uvloops.Loop": "it is another"}, modules=["uvloop"])
    assert [each.subject for each in found] == ["loops of uvloops.Loop", "loops of uvloop"]


# --- jobs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "modules", "said"),
    [
        (False, [], []),
        (False, ["anyio"], []),
        (False, ["anyio", "anyio._backends._asyncio"], ["blind"]),
        (True, ["anyio", "anyio._backends._asyncio"], ["exact"]),
        (True, [], ["exact"]),
    ],
)
def test_anyio_is_spoken_of_where_it_is_used(seen: bool, modules: list[str], said: list[str]) -> None:
    """Its threads are exact when our hook took; an AnyIO without our hook is said to be blind."""
    found = more(anyio=seen, modules=modules)
    assert [each.seen for each in found] == said
    assert {each.subject for each in found} <= {"AnyIO worker threads"}


def test_jobs_that_may_have_been_missed_are_spoken_of() -> None:
    """AnyIO came in the middle of a loop's work."""
    (found,) = more(anyio=True, anyio_late=True)
    assert (found.subject, found.seen) == ("AnyIO worker threads", "partial")


@pytest.mark.parametrize("kind", ["process", "interpreter"])
def test_pools_whose_jobs_run_elsewhere_are_spoken_of_once_they_are_used(kind: str) -> None:
    """Until then they make nothing inexact."""
    assert [(each.subject, each.seen) for each in more(pools={"thread", kind})] == [(f"{kind} pools", "partial")]


# --- stalls ------------------------------------------------------------------------------------


def test_without_the_interpreter_lock_stacks_are_blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stalls are still timed."""
    monkeypatch.setattr(_compat, "gil_enabled", lambda: False)
    assert [(each.subject, each.seen) for each in more()] == [("stacks of stalls", "blind")]


def test_what_the_platform_does_not_tell_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Causes are then decided on less."""
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    assert more(untold=("the time", "the day")) == [
        Coverage(
            "causes of stalls",
            "partial",
            "Plan9 does not tell the time, the day: more stalls than elsewhere are of unknown cause",
        )
    ]


@pytest.mark.skipif(
    not (os.access("/proc/self/schedstat", os.R_OK) and os.access("/proc/self/syscall", os.R_OK)),
    reason="this platform tells less",
)
def test_linux_tells_all() -> None:
    """Of any other thread."""
    done = threading.Event()
    other = threading.Thread(target=done.wait, args=(10,))
    other.start()
    try:
        assert untold() == ()
    finally:
        done.set()
        other.join()


def test_a_platform_that_tells_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither files nor clocks: four things are named."""
    monkeypatch.setattr(_compat, "LINUX", False)
    monkeypatch.setattr(_compat, "kernel_activity", lambda native: None)
    assert len(untold()) == 4


# --- as a whole --------------------------------------------------------------------------------


def test_every_entry_reads_as_a_sentence() -> None:
    """They are joined in one line of the log at install."""
    assert "; ".join(map(str, coverage(anyio=True, pools={"process"}))) == (
        "asyncio loops: exact (every step and every turn); "
        "thread pools: exact (every job, from its submission to its end); "
        "process pools: partial (from outside the process: when a job began follows from the order of the queue, "
        "no CPU time is known); "
        "AnyIO worker threads: exact (every job, from its wait for a token to its end)"
    )


PLAIN = """
import asyncio, concurrent.futures, loopwatch
{before}
from loopwatch.report.readings import worst_coverage

async def main():
    await asyncio.to_thread(int)
    {more}

with loopwatch.install(reporters=[]) as watch:
    asyncio.run(main())
    now = watch.snapshot()
    print([str(each) for each in now.coverage if each.seen != "exact" and each.subject != "causes of stalls"])
    print(worst_coverage(now) if watch._untold == () else "exact")
"""


def worst_of(more: str, before: str = "") -> list[str]:
    program = PLAIN.format(more=more, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


ANYIO = "await anyio.to_thread.run_sync(int)"


@pytest.mark.skipif(not _compat.gil_enabled(), reason="without the interpreter lock no stack is seen")
@pytest.mark.parametrize("more", ["pass", ANYIO], ids=["asyncio", "anyio"])
def test_a_plain_service_is_seen_exactly(more: str) -> None:
    """The info metric says so, where the platform tells all: nothing that it does not use is held against it."""
    if more is ANYIO and importlib.util.find_spec("anyio") is None:
        pytest.skip("missing module: anyio")
    assert worst_of(more, "import anyio" if more is ANYIO else "") == ["[]", "exact"]


def test_what_was_seen_outlives_the_watch() -> None:
    """After uninstall the coverage is that of the watch, and not that of hooks which are gone."""
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        asyncio.run(asyncio.sleep(0))
        before = watch.snapshot().coverage
    assert watch.snapshot().coverage == before
    assert f"asyncio loops: exact (every step and every turn, timed {how_timed()})" in map(str, before)


def test_a_watch_that_is_torn_out_has_one_entry_for_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is blind, as the info metric says, and it is exact again when ours is back."""
    run = asyncio.Handle._run
    with loopwatch.install(reporters=[], prometheus=False) as watch, monkeypatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", run)
        torn = watch.snapshot()
        patch.undo()
        again = watch.snapshot()
    assert [each.seen for each in torn.coverage if "asyncio" in each.subject] == ["blind"]
    assert worst_coverage(torn) == "blind"
    assert [each.seen for each in again.coverage if "asyncio" in each.subject] == ["exact"]
