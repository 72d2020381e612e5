"""The hook in AnyIO put in and taken out: late imports, other tools, threads that cross."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import textwrap
import threading
import time
from typing import Any

import pytest

anyio = pytest.importorskip("anyio")

from tests.anyio_jobs import ENTRY, IN_MODULE, OWNER, Watched, in_thread, spin  # noqa: E402
from tests.executing import SOON, Gate  # noqa: E402


def test_uninstall_puts_the_identical_object_back() -> None:
    """What stood in the class stands there again, also after a second install."""
    before = vars(OWNER)[ENTRY]
    watched = Watched()
    watched.install()
    assert watched.hook.seen
    assert vars(OWNER)[ENTRY] is not before
    ours = vars(OWNER)[ENTRY]
    watched.hook.install()
    watched.hook.refresh()
    assert vars(OWNER)[ENTRY] is ours
    watched.uninstall()
    assert vars(OWNER)[ENTRY] is before
    assert not watched.hook.seen
    watched.hook.refresh()
    watched.hook.uninstall()
    assert vars(OWNER)[ENTRY] is before


def test_the_entry_keeps_its_name_and_signature(watched_anyio: Watched) -> None:
    """Who inspects AnyIO finds the same function."""
    assert getattr(OWNER, ENTRY).__wrapped__ if not IN_MODULE else True
    assert {"limiter", "func"} <= set(inspect.signature(getattr(OWNER, ENTRY)).parameters) or IN_MODULE


def test_jobs_outlive_an_uninstall() -> None:
    """Taken out while jobs run and wait: all of them end as they would, and none is counted."""
    watched = Watched()
    watched.install()
    gate = Gate()

    async def main() -> list[int]:
        limiter = anyio.CapacityLimiter(2)
        jobs = [asyncio.ensure_future(in_thread(gate.hold, number, limiter=limiter)) for number in range(4)]
        await watched.pool(running=2)
        watched.uninstall()
        jobs.append(asyncio.ensure_future(in_thread(gate.hold, 4, limiter=limiter)))
        await asyncio.sleep(0.01)
        gate.opened.set()
        results = await asyncio.gather(*jobs)
        assert limiter.borrowed_tokens == 0
        return results

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]
    assert list(watched.executors.pools) == []
    assert list(watched.faults) == []


def test_a_tool_that_comes_later_is_left_in_place() -> None:
    """Another tool's function around ours is not torn out, and after a new install each job is told once."""
    before = vars(OWNER)[ENTRY]
    watched, again = Watched(), Watched()
    watched.install()
    ours = getattr(OWNER, ENTRY)
    calls = []

    def theirs(*given: Any, **named: Any) -> Any:
        calls.append(1)
        return ours(*given[not IN_MODULE :], **named)

    placed = classmethod(theirs) if not IN_MODULE else theirs
    try:
        setattr(OWNER, ENTRY, placed)
        watched.uninstall()
        assert vars(OWNER)[ENTRY] is placed
        assert asyncio.run(spin_in_thread()) == "done"
        again.install()
        # What a tool hides behind *args and **kwargs takes the limiter by keyword.
        assert again.hook.seen
        assert asyncio.run(spin_in_thread()) == "done"
        again.uninstall()
        assert vars(OWNER)[ENTRY] is placed
    finally:
        setattr(OWNER, ENTRY, before)
    assert len(calls) == 2
    assert (len(watched.jobs()), len(again.jobs())) == (0, 1)
    assert [*watched.faults, *again.faults] == []


async def spin_in_thread() -> Any:
    return await in_thread(spin, 0.0)


class Crossing:
    """Holds a thread between its look at whether there is something to do and its doing it."""

    def __init__(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        self.arrived, self.goes_on = threading.Event(), threading.Event()
        lock = watched.hook._lock

        class Held:
            def __enter__(held) -> None:
                if threading.current_thread() is self.thread:
                    self.arrived.set()
                    assert self.goes_on.wait(SOON)
                lock.acquire()

            def __exit__(held, *error: object) -> None:
                lock.release()

        self.thread = threading.Thread(target=watched.hook.refresh)
        monkeypatch.setattr(watched.hook, "_lock", Held())

    def __enter__(self) -> None:
        self.thread.start()
        assert self.arrived.wait(SOON)

    def __exit__(self, *error: object) -> None:
        self.goes_on.set()
        self.thread.join(SOON)


def test_a_refresh_that_comes_late_puts_nothing_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler has found AnyIO just as everything is taken out, or is taken in by a newer hook."""
    before = vars(OWNER)[ENTRY]
    watched, again = Watched(), Watched()
    watched.install()
    watched.hook._backend = None
    with Crossing(watched, monkeypatch):
        watched.uninstall()
        assert vars(OWNER)[ENTRY] is before
        again.install()
        ours = vars(OWNER)[ENTRY]
    assert not watched.hook.seen and again.hook.seen
    assert vars(OWNER)[ENTRY] is ours is not before
    again.uninstall()
    assert vars(OWNER)[ENTRY] is before


def test_two_refreshes_at_once_take_anyio_in_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's thread and the sampler's both have found AnyIO: one function of ours stands there, and goes whole."""
    before = vars(OWNER)[ENTRY]
    watched = Watched()
    monkeypatch.setattr("loopwatch.observe.jobs.anyio_threads._BACKEND", "not imported yet")
    watched.install()
    monkeypatch.undo()
    with Crossing(watched, monkeypatch):
        watched.hook.refresh()
        ours = vars(OWNER)[ENTRY]
    assert vars(OWNER)[ENTRY] is ours is not before
    assert len(watched.hook._kept) == 1
    watched.uninstall()
    assert vars(OWNER)[ENTRY] is before


def test_a_limiter_that_is_met_late_is_not_kept() -> None:
    """A call that began watched meets its limiter after the uninstall: nothing stays of it in the hook."""
    watched = Watched()
    watched.install()
    frame = inspect.currentframe()
    assert frame is not None

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        watched.hook.uninstall()
        (job,) = watched.hook.stand_in(OWNER, (len,), {"limiter": limiter}, None, frame)
        assert job.pool.executor() is limiter
        assert (watched.hook._pools, list(watched.executors.pools)) == ({}, [])

    asyncio.run(main())
    watched.uninstall()
    assert list(watched.faults) == []


def test_watches_may_come_and_go_while_a_loop_works() -> None:
    """Jobs go on, and in the end AnyIO is as it was."""
    before, stop = vars(OWNER)[ENTRY], threading.Event()
    done: list[Any] = []

    async def work() -> None:
        while not stop.is_set():
            done.append(await in_thread(spin, 0.0))

    def refresh() -> None:
        while not stop.is_set():
            for each in list(hooks):
                each.refresh()

    hooks: list[Any] = []
    threads = [threading.Thread(target=lambda: asyncio.run(work())), threading.Thread(target=refresh)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in threads:
            thread.start()
        for _ in range(40):
            watched = Watched()
            hooks[:] = [watched.hook]
            watched.install()
            time.sleep(0.001)
            watched.uninstall()
            assert vars(OWNER)[ENTRY] is before
            assert list(watched.faults) == []
    finally:
        stop.set()
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join(SOON)
    assert set(done) == {"done"}


def test_an_entry_that_takes_no_limiter_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An AnyIO of an unknown shape is not touched, and the hook says that it does not see."""

    async def strange(cls: Any, func: Any) -> Any:
        return func()

    monkeypatch.setattr(OWNER, ENTRY, strange)
    watched = Watched()
    watched.install()
    watched.hook.refresh()
    assert not watched.hook.seen
    assert vars(OWNER)[ENTRY] is strange
    assert [type(fault) for fault in watched.faults] == [LookupError]
    watched.uninstall()


IMPORTED_LATER = """
    import asyncio, collections, sys, types
    from loopwatch.observe.jobs.anyio_threads import AnyioHook
    from loopwatch.observe.loops.asyncio_loop import step_codes
    from loopwatch.observe.jobs.executors import ExecutorHook

    faults = collections.deque()
    executors = ExecutorHook(types.SimpleNamespace(asleep=False), faults, step_codes)
    hook = AnyioHook(executors)
    executors.install()
    hook.install()
    assert "anyio" not in sys.modules and not hook.seen

    import anyio.to_thread
    from anyio._core import _eventloop
    before = _eventloop.import_module
    assert "anyio._backends._asyncio" not in sys.modules
    hook.refresh()
    hook.refresh()
    assert not hook.seen

    async def main():
        return await anyio.to_thread.run_sync(len, "abc")

    {rest}
    assert not faults, faults
"""


def run_apart(rest: str) -> None:
    """Run IMPORTED_LATER in an interpreter of its own, where AnyIO has not been imported yet."""
    code = textwrap.dedent(IMPORTED_LATER).replace("{rest}", textwrap.dedent(rest))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_first_job_is_seen_though_anyio_came_later() -> None:
    """AnyIO is imported after the install and its backend in the first call: that call is timed, no trace is left."""
    run_apart("""
    assert asyncio.run(main()) == 3
    assert hook.seen and len(executors.ended()) == 1
    assert _eventloop.import_module is before
    entry = vars(sys.modules["anyio._backends._asyncio"])
    """)


def test_a_hook_that_never_met_anyio_leaves_no_trace() -> None:
    """Uninstalled before the backend is imported, it has nothing left in AnyIO."""
    run_apart("""
    assert _eventloop.import_module is not before
    hook.uninstall()
    executors.uninstall()
    assert _eventloop.import_module is before
    assert asyncio.run(main()) == 3
    assert not hook.seen and not executors.ended()
    """)


LAZILY = """
    import asyncio, sys
    import loopwatch
    {before}

    watch = loopwatch.install(prometheus=False, reporters=[], threshold=5)

    async def main():
        {within}
        await anyio.to_thread.run_sync(len, "abc")

    {run}
    now = watch.snapshot()
    print(sum(sum(each.outcomes.values()) for each in now.executors))
    print(*(each.seen for each in now.coverage if each.subject == "AnyIO worker threads"))
    watch.uninstall()
    loaders = [sys.modules.get(name) for name in ("anyio._lazyimport", "anyio._core._eventloop")]
    assert all(each.import_module.__module__ == "importlib" for each in loaders if each is not None)
    assert not any("find_spec" in vars(each) for each in sys.path_importer_cache.values() if each is not None)
"""


ANOTHER_IMPORTER = """
from importlib.machinery import PathFinder, SourceFileLoader
from importlib.util import spec_from_loader

class Loader(SourceFileLoader):
    pass

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "anyio._backends._asyncio":
            return spec_from_loader(name, Loader(name, PathFinder.find_spec(name, path).origin))

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("before", "within", "run", "told"),
    [
        ("import anyio", "pass", "anyio.run(main)", [["1", "exact"]]),
        ("import anyio", "pass", "asyncio.run(asyncio.sleep(0)); anyio.run(main)", [["1", "exact"]]),
        ("import anyio", "anyio.to_thread", "asyncio.run(main())", [["1", "exact"]]),
        ("import anyio.to_thread", "pass", "asyncio.run(main())", [["1", "exact"]]),
        ("", "import anyio.to_thread", "asyncio.run(main())", [["1", "exact"]]),
        ("", "import anyio.to_thread", "asyncio.run(main()); asyncio.run(asyncio.sleep(0))", [["1", "exact"]]),
        ("import anyio", "import anyio.to_thread", "asyncio.run(main())", [["1", "exact"]]),
        # Another tool loads it: the sampler may come in time, and then all is seen. Nobody knows, so it is not exact.
        (
            ANOTHER_IMPORTER,
            "import anyio.to_thread",
            "asyncio.run(main())",
            [["0", "partial"], ["1", "partial"], ["1", "exact"]],
        ),
    ],
    ids=[
        "run",
        "run after another",
        "lazily in a loop",
        "before",
        "in a loop",
        "in a loop before another",
        "to the end in a loop",
        "by another importer",
    ],
)
def test_the_first_job_is_seen_or_said_to_be_missed(before: str, within: str, run: str, told: list[list[str]]) -> None:
    """AnyIO loads itself piece by piece: whenever it does, no job goes by while the coverage says that it saw all."""
    code = textwrap.dedent(LAZILY).format(before=before, within=within, run=run)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() in told
