"""What every test stands on: nothing of loopwatch is left behind, and nothing missing goes unnoticed."""

from __future__ import annotations

import asyncio
import concurrent.futures.process
import concurrent.futures.thread
import gc
import importlib
import importlib.util
import logging
import os
import selectors
import shutil
import sys
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any

import pytest

import loopwatch
from loopwatch.explain.culprit import OwnCode
from loopwatch.settings import NO_EXTENSIONS
from loopwatch.testing import FakeClock, RecordingReporter
from tests import executing, state_bench
from tests.bench import FOREVER, RUN, Watching
from tests.differences import LOOPS
from tests.made_deliveries import Gate, Make, deliveries
from tests.made_jobs import KINDS, Setting, setting_up
from tests.made_logs import Log
from tests.made_offloads import made_own
from tests.made_pools import World, made_world
from tests.stage import Stage, on_stage

if importlib.util.find_spec("hypothesis") is not None:
    import hypothesis

    hypothesis.settings.register_profile("loopwatch", deadline=None)  # the machine may stall for a moment
    hypothesis.settings.load_profile("loopwatch")

IN_CI = os.environ.get("CI") == "true"
WITHOUT_EXTRAS = os.environ.get("WITHOUT_EXTRAS") == "1"

# --- what a machine lacks ----------------------------------------------------------------------
#
# A test that skips itself unnoticed is no test. Under CI=true a skip for a missing module or program
# is a failure; only a run that leaves out the extras on purpose (WITHOUT_EXTRAS=1) may lack modules.

MISSING_MODULE = "missing module: "
MISSING_PROGRAM = "missing program: "


def is_missing(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is None
    except ModuleNotFoundError:  # the parent package of a dotted name
        return True


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked ``needs(*modules, programs=())`` where one of these is missing."""
    for marker in item.iter_markers("needs"):
        programs = [name for name in marker.kwargs.get("programs", ()) if shutil.which(name) is None]
        modules = [name for name in marker.args if is_missing(name)]
        if programs:
            pytest.skip(MISSING_PROGRAM + ", ".join(programs))
        if modules:
            pytest.skip(MISSING_MODULE + ", ".join(modules))


def must_not_be_skipped(reason: str) -> bool:
    """Whether a skip hides something that CI promises to have; ``could not import`` is importorskip's word."""
    if not IN_CI:
        return False
    lacks_a_module = MISSING_MODULE in reason or "could not import" in reason
    return MISSING_PROGRAM in reason or (lacks_a_module and not WITHOUT_EXTRAS)


def fail_where_ci_may_not_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple) and must_not_be_skipped(report.longrepr[2]):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: {report.longrepr[2]}; under CI=true everything must be there"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    fail_where_ci_may_not_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    fail_where_ci_may_not_skip(report)
    return report


# --- what a test must leave as it was ----------------------------------------------------------

OWNERS: list[type] = [
    asyncio.events.Handle,
    asyncio.events.TimerHandle,
    asyncio.base_events.BaseEventLoop,
    asyncio.selector_events.BaseSelectorEventLoop,
    asyncio.SelectorEventLoop,
    selectors.DefaultSelector,
    concurrent.futures.Executor,
    concurrent.futures.Future,
    concurrent.futures.thread.ThreadPoolExecutor,
    concurrent.futures.process.ProcessPoolExecutor,
    threading.Thread,
]
"""Classes that loopwatch, or a test, may patch; each attribute must be the same object before and after."""

if not is_missing("anyio"):
    import anyio
    from anyio._backends import _asyncio as anyio_asyncio

    OWNERS += [anyio_asyncio.AsyncIOBackend, anyio_asyncio.CapacityLimiter, anyio_asyncio.WorkerThread]
    OWNERS += [anyio.CapacityLimiter]

LOG = logging.getLogger("loopwatch")

_ABSENT = object()


def owners() -> list[type]:
    """The same, with that of uvloop once something has imported it: to import it here would be seen by loopwatch."""
    uvloop = sys.modules.get("uvloop")
    return OWNERS if uvloop is None else [*OWNERS, uvloop.Loop]


def attributes(of: list[type]) -> dict[tuple[type, str], object]:
    """Each attribute as it stands in its class, functions unbound and descriptors unresolved."""
    return {
        (owner, name): value
        for owner in of
        for name, value in vars(owner).items()
        if name not in {"__annotations__", "__annotations_cache__"}  # made by the interpreter when first asked for
    }


def policy() -> object:
    # Asking by the public name is deprecated from 3.14 on, and warnings are errors here.
    ask = getattr(asyncio.events, "_get_event_loop_policy", None) or asyncio.get_event_loop_policy
    return ask()


def collectors() -> list[object]:
    """What is registered in prometheus_client's default registry."""
    if is_missing("prometheus_client"):
        return []
    from prometheus_client import REGISTRY

    return list(REGISTRY._collector_to_names)


def gc_callbacks() -> list[object]:
    # Hypothesis adds its own when it is first used, and keeps it.
    return [call for call in gc.callbacks if not getattr(call, "__module__", "").startswith("hypothesis")]


def surroundings() -> Mapping[str, list[Any]]:
    """Everything else that others own and loopwatch touches; each entry is compared by identity."""
    return {
        "gc.callbacks": gc_callbacks(),
        "the event loop policy": [policy()],
        "how a loop is told to run": [asyncio._set_running_loop, asyncio.events._set_running_loop],
        "the collectors of prometheus_client.REGISTRY": collectors(),
        "the handlers of the logger loopwatch": list(LOG.handlers),
        "the filters of the logger loopwatch": list(LOG.filters),
        "the level, propagate and disabled of the logger loopwatch": [LOG.level, LOG.propagate, LOG.disabled],
    }


def changed_attributes(of: list[type], before: Mapping[tuple[type, str], object]) -> Iterator[tuple[type, str]]:
    now = attributes(of)
    for key in before.keys() | now.keys():
        if before.get(key, _ABSENT) is not now.get(key, _ABSENT):
            yield key


def put_back(before: Mapping[tuple[type, str], object], key: tuple[type, str]) -> None:
    owner, name = key
    if key in before:
        setattr(owner, name, before[key])
    else:
        delattr(owner, name)


def same(before: list[Any], now: list[Any]) -> bool:
    return len(before) == len(now) and all(old is new for old, new in zip(before, now, strict=True))


def threads_of_loopwatch() -> list[str]:
    """Names of threads of loopwatch that do not end by themselves within moments."""
    mine = [thread for thread in threading.enumerate() if thread.name.startswith("loopwatch")]
    for thread in mine:
        thread.join(2)
    return [thread.name for thread in mine if thread.is_alive()]


def environment_of_loopwatch() -> list[str]:
    """All but which stopwatch is meant, which holds for the suite as well, and for the programs that it runs.

    That it is required was heard when loopwatch was imported; programs of the suite may do without.
    """
    return sorted(name for name in os.environ if name.startswith("LOOPWATCH_") and name != NO_EXTENSIONS)


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """The suite tests the defaults: the caller's own LOOPWATCH_* variables are set aside for its time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in environment_of_loopwatch():
            patch.delenv(name)
        yield


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """After each test, everything that loopwatch touches is the very object that it was before.

    A watch that a test leaves is uninstalled and every attribute is put back, so that only the test
    that left it fails. Takes no other fixture: it must be set up before ``monkeypatch``, to look
    after that has undone its work.
    """
    watched = owners()
    before, around = attributes(watched), surroundings()
    yield
    left = []
    current = getattr(loopwatch, "current", lambda: None)  # until loopwatch/__init__.py is written
    if (watch := current()) is not None:
        left.append(f"the watch {watch!r}")
        loopwatch.uninstall()
    for key in sorted(changed_attributes(watched, before), key=repr):
        left.append(f"another {key[0].__qualname__}.{key[1]}")
        put_back(before, key)
    now = surroundings()
    left += [f"{name}: {now[name]} instead of {around[name]}" for name in around if not same(around[name], now[name])]
    left += [f"the thread {name}" for name in threads_of_loopwatch()]
    for name in environment_of_loopwatch():
        left.append(f"the variable {name}")
        del os.environ[name]
    if left:
        pytest.fail("the test left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def events() -> RecordingReporter:
    """A reporter that keeps what it is told: ``events.stalls``, ``events.backlogs``, ``events.offloads``."""
    return RecordingReporter()


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    """A watch that tells ``events``, and is gone with the test."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        yield watch


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.needs(name)) for name in LOOPS])
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test is run with each kind of loop: what ``asyncio.run`` and ``asyncio.new_event_loop`` make is of that kind.

    Policies would do the same, and are deprecated.
    """
    make = importlib.import_module(request.param).new_event_loop
    monkeypatch.setattr(asyncio, "new_event_loop", make)
    monkeypatch.setattr(asyncio.events, "new_event_loop", make)
    return str(request.param)


# --- the hook for asyncio's loops, on a clock of its own ---------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def idle(clock: FakeClock) -> Iterator[Watching]:
    """The hook before it is installed; afterwards it is not, and nothing went wrong in it."""
    watching = Watching(clock)
    yield watching
    watching.hook.uninstall()
    assert list(watching.faults) == []
    assert (asyncio.events.Handle._run, asyncio.base_events.BaseEventLoop.run_forever) == (RUN, FOREVER)


@pytest.fixture
def watching(idle: Watching) -> Watching:
    """The hook, installed."""
    idle.hook.install()
    return idle


@pytest.fixture
def plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loops of the bench of states count as asyncio's own, but for those that are ``odd``."""
    state_bench.plain_loops(monkeypatch)


@pytest.fixture
def stage() -> Iterator[Stage]:
    """A sampler on a stage; at the end no fault of ours was seen there."""
    with on_stage() as stage:
        yield stage


# --- jobs: made up by a clock that stands still, or real ones ----------------------------------


@pytest.fixture(params=KINDS)
def setting(request: pytest.FixtureRequest) -> Iterator[Setting]:
    """A pool of two workers whose jobs, of each kind, are made up; at the end none has met an error of ours."""
    with setting_up(request.param) as setting:
        yield setting


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A pool of two workers whose jobs are made up, under a watch."""
    with made_world(monkeypatch) as world:
        yield world


@pytest.fixture
def watched() -> Iterator[executing.Watched]:
    """The hook of executors, installed, over real pools; at the end it has met no error of its own."""
    with executing.watching() as watched:
        yield watched


@pytest.fixture
def watched_anyio() -> Iterator[Any]:
    """Likewise with the hook in AnyIO: an ``anyio_jobs.Watched``."""
    from tests import anyio_jobs

    with anyio_jobs.watching() as watched:
        yield watched


@pytest.fixture
def own() -> OwnCode:
    """Tells own code from that of libraries among made-up offloads."""
    return made_own()


# --- what is reported --------------------------------------------------------------------------


@pytest.fixture
def make_delivery() -> Iterator[Make]:
    """Makes deliveries, which end with the test."""
    with deliveries() as make:
        yield make


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A reporter that hangs until it is opened, at the latest when the test ends."""
    with Gate() as gate:
        yield gate


@pytest.fixture
def log() -> Log:
    """A log reporter with a logger and a clock of its own."""
    return Log()
