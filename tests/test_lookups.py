"""Lookups on uvloop are what they are without a watch: as lazy, as easy to give up, with the same looks and errors."""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import time
import traceback
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import loopwatch
from loopwatch.model import ExecutorStats
from loopwatch.observe.hooks import Hooks
from loopwatch.observe.loops.loop_state import Outlets
from loopwatch.observe.uvloops.lookup_methods import LookupHook
from loopwatch.testing import RecordingReporter
from tests.holding import watching
from tests.made_alarm import Alarm

uvloop = pytest.importorskip("uvloop")

METHODS = ("getaddrinfo", "getnameinfo", "create_connection", "create_server", "create_datagram_endpoint")
ONLY_NUMERIC = {"flags": socket.AI_NUMERICHOST}
"""With these a name is refused at once by the resolver, in libuv's pool all the same."""


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[loopwatch.Watch]:
    with watching(events) as watch:
        yield watch
        assert list(watch._faults) == []


def libuv(watch: loopwatch.Watch) -> ExecutorStats | None:
    assert watch.flush(10)
    return next((each for each in watch.snapshot().executors if each.kind == "libuv"), None)


def outcomes(watch: loopwatch.Watch) -> dict[str, int]:
    found = libuv(watch)
    return {} if found is None else dict(found.outcomes)


def test_a_lookup_is_a_job_of_the_site_and_the_task_that_asked_for_it(watch: loopwatch.Watch) -> None:
    """What stands in uvloop's own pool is named as any job is."""

    async def asks() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon(time.sleep, 0.005)  # so long the loop does not learn that it is over: what is brief has no share
        await loop.getaddrinfo("127.0.0.1", 80)

    uvloop.run(asks())
    found = libuv(watch)
    assert found is not None and found.outcomes == {"completed": 1}
    (offload,) = watch.snapshot().offloads
    assert offload.site.startswith(f"{__name__}.{asks.__qualname__}:")
    assert (offload.target, offload.executor) == ("uvloop.loop.Loop.getaddrinfo", "libuv")
    assert offload.evidence["loop_jobs"] == 1 and offload.cpu_seconds is None
    assert offload.share is not None and offload.share > 0


@pytest.mark.needs("prometheus_client")
def test_the_pool_is_in_the_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any executor is: by its name."""
    from prometheus_client import CollectorRegistry

    monkeypatch.delenv("UV_THREADPOOL_SIZE", raising=False)
    registry = CollectorRegistry()
    with loopwatch.install(reporters=[], prometheus=registry) as watch:
        uvloop.run(refused(None))
        assert watch.flush(10)
        failed = {"executor": "libuv", "outcome": "failed"}
        assert registry.get_sample_value("loopwatch_executor_jobs_total", failed) == 1
        assert registry.get_sample_value("loopwatch_executor_workers_max", {"executor": "libuv"}) == 2
        assert registry.get_sample_value("loopwatch_executor_wait_seconds_count", {"executor": "libuv"}) == 1


def test_a_name_service_takes_two(watch: loopwatch.Watch) -> None:
    """libuv is given the address first, and then what is asked."""

    async def asks() -> Any:
        return await asyncio.get_running_loop().getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)

    assert uvloop.run(asks())[0] == "127.0.0.1"
    assert outcomes(watch) == {"completed": 2}


def test_a_numeric_address_is_no_job(watch: loopwatch.Watch) -> None:
    """uvloop reads it by itself where it knows the kind of socket; there is no pool until there is a job."""

    async def asks() -> Any:
        return await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)

    assert uvloop.run(asks())[0][4] == ("127.0.0.1", 80)
    assert libuv(watch) is None


def test_nothing_is_looked_up_before_it_is_awaited(watch: loopwatch.Watch) -> None:
    """A call alone does nothing, and warns as it does without a watch."""

    async def asks() -> None:
        unused = asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        await asyncio.sleep(0)
        assert inspect.isawaitable(unused) and asyncio.iscoroutine(unused)
        unused.close()

    uvloop.run(asks())
    assert libuv(watch) is None


def test_who_asks_whether_it_can_go_on_does_not_make_it(watch: loopwatch.Watch) -> None:
    """To look at ``__next__`` and ``send`` starts nothing: the lookup begins where it is awaited."""

    async def asks() -> Any:
        coroutine: Any = asyncio.get_running_loop().getnameinfo(("127.0.0.1", 80), 0)
        assert hasattr(coroutine, "__next__") and hasattr(coroutine, "send")
        before = (coroutine.cr_await, coroutine.cr_running, libuv(watch))
        found = await coroutine
        return before, found

    before, found = uvloop.run(asks())
    assert before == (None, False, None)
    assert len(found) == 2
    assert libuv(watch) is not None


@pytest.mark.parametrize("name", METHODS)
def test_the_methods_look_the_same(name: str, events: RecordingReporter) -> None:
    """To whoever inspects them, bound and unbound."""

    def looks() -> list[Any]:
        loop = uvloop.new_event_loop()
        try:
            return [
                (
                    str(inspect.signature(each)),
                    inspect.iscoroutinefunction(each),
                    each.__name__,
                    each.__qualname__,
                    each.__doc__,
                    each.__module__,
                    inspect.ismethod(each),
                )
                for each in (getattr(uvloop.Loop, name), getattr(loop, name))
            ]
        finally:
            loop.close()

    before = looks()
    with watching(events):
        assert vars(uvloop.Loop)[name] is not None
        assert looks() == before


def test_the_coroutine_looks_the_same(events: RecordingReporter) -> None:
    """As it is shown for a task, and to whoever looks into it."""

    async def looks() -> list[str]:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.getaddrinfo("127.0.0.1", 80), name="asks")
        await asyncio.sleep(0)
        coroutine: Any = task.get_coro()
        shown = [repr(task), coroutine.__name__, coroutine.__qualname__, coroutine.cr_code.co_name]
        shown += [task.get_stack(limit=1)[0].f_code.co_name, repr(coroutine).partition(" at ")[0]]
        shown += [str(coroutine.cr_running), str(inspect.iscoroutine(coroutine))]
        await task
        return shown

    before = uvloop.run(looks())
    with watching(events):
        assert uvloop.run(looks()) == before


@pytest.mark.parametrize("task", [asyncio.Task, asyncio.tasks._PyTask], ids=["c", "python"])  # type: ignore[attr-defined]
def test_who_looks_at_all_of_it_takes_nothing_from_whoever_awaits_it(watch: loopwatch.Watch, task: Any) -> None:
    """As a debugger does, which asks for each attribute and calls none."""

    async def awaits(coroutine: Any) -> Any:
        return await coroutine

    async def looks() -> Any:
        loop = asyncio.get_running_loop()
        for wrap in (awaits, lambda coroutine: coroutine):
            coroutine = loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)
            inspect.getmembers(coroutine)
            found = await task(wrap(coroutine), loop=loop)
        return found

    assert uvloop.run(looks())[0] == "127.0.0.1"


async def refused_name(loop: Any) -> Any:
    return await loop.getaddrinfo("nowhere", 80, **ONLY_NUMERIC)


async def refused_in_a_task(loop: Any) -> Any:
    return await asyncio.gather(loop.getaddrinfo("nowhere", 80, **ONLY_NUMERIC))


async def wrong_port(loop: Any) -> Any:
    return await loop.getaddrinfo("nowhere", object())


async def too_long(loop: Any) -> Any:
    return await loop.getaddrinfo("a" * 80, 80)


async def wrong_address(loop: Any) -> Any:
    return await loop.getnameinfo("nowhere")


async def wrong_socket_address(loop: Any) -> Any:
    with socket.socket() as ours:
        ours.setblocking(False)
        return await loop.sock_connect(ours, ("nowhere", object()))


async def no_connection(loop: Any) -> Any:
    return await loop.create_connection(asyncio.Protocol, "nowhere", 80, **ONLY_NUMERIC)


async def no_server(loop: Any) -> Any:
    return await loop.create_server(asyncio.Protocol, "nowhere", 0, **ONLY_NUMERIC)


async def no_endpoint(loop: Any) -> Any:
    return await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("nowhere", 0), **ONLY_NUMERIC)


async def in_an_except_clause(loop: Any) -> Any:
    try:
        raise KeyError("before")
    except KeyError:
        return await loop.getaddrinfo("nowhere", object())


FAILURES = (
    refused_name, refused_in_a_task, wrong_port, too_long, wrong_address, wrong_socket_address, no_connection,
    no_server, no_endpoint, in_an_except_clause,
)  # fmt: skip


def told(error: BaseException | None) -> list[Any]:
    if error is None:
        return []
    frames = [(each.filename, each.lineno, each.name) for each in traceback.extract_tb(error.__traceback__)]
    return [type(error), str(error), frames, *told(error.__cause__), *told(error.__context__)]


@pytest.mark.parametrize("fails", FAILURES)
def test_errors_and_their_tracebacks_are_the_same(fails: Callable[[Any], Any], events: RecordingReporter) -> None:
    """Type, text, what it came from, and each frame of it."""

    async def main() -> list[Any]:
        try:
            await fails(asyncio.get_running_loop())
        except Exception as error:
            return told(error)
        raise AssertionError("it did not fail")

    before = uvloop.run(main())
    with watching(events) as watch:
        assert uvloop.run(main()) == before
        assert list(watch._faults) == []


def test_a_wrong_call_fails_at_once(watch: loopwatch.Watch) -> None:
    """Not as late as it is awaited."""
    loop = uvloop.new_event_loop()
    with pytest.raises(TypeError, match="positional argument"):
        loop.getaddrinfo()
    loop.close()


def test_failures_are_told_as_such(watch: loopwatch.Watch) -> None:
    """However they are awaited."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for fails in (refused_name, refused_in_a_task, no_connection, no_server, no_endpoint):
            with pytest.raises(OSError, match=r"Name or service|nodename"):
                await fails(loop)

    uvloop.run(main())
    assert outcomes(watch) == {"failed": 5}


def test_it_can_be_run_by_hand(watch: loopwatch.Watch) -> None:
    """By send, throw and close, as those who write loops do."""

    async def main() -> Any:
        loop = asyncio.get_running_loop()
        by_send = loop.getaddrinfo("127.0.0.1", 80)
        future = by_send.send(None)
        await asyncio.sleep(0.05)
        assert future.done()
        with pytest.raises(StopIteration) as sent:
            by_send.send(None)
        thrown = loop.getaddrinfo("127.0.0.1", 80)
        thrown.send(None)
        with pytest.raises(KeyError):
            thrown.throw(KeyError("given up"))
        closed = loop.getaddrinfo("127.0.0.1", 80)
        closed.send(None)
        closed.close()
        with pytest.raises(TypeError, match="just-started"):
            loop.getaddrinfo("127.0.0.1", 80).send(1)
        with pytest.raises(RuntimeError, match="already awaited"):
            by_send.send(None)
        del future
        await asyncio.sleep(0.05)
        return sent.value.value

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert uvloop.run(main())[0][4][0] == "127.0.0.1"
    assert outcomes(watch) == {"completed": 1, "abandoned": 2}


def test_another_tools_method_is_kept(events: RecordingReporter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gives is its own, before us and after us."""
    genuine = uvloop.Loop.getaddrinfo

    async def theirs(self: Any, *given: Any, **named: Any) -> Any:
        return ["theirs", *await genuine(self, *given, **named)]

    async def main() -> Any:
        coroutine = asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
        return inspect.iscoroutine(coroutine), (await coroutine)[0]

    with monkeypatch.context() as patch:
        patch.setattr(uvloop.Loop, "getaddrinfo", theirs, raising=False)
        with watching(events) as watch:
            assert uvloop.run(main()) == (True, "theirs")
            assert libuv(watch) is None
            said = [str(each) for each in watch.snapshot().coverage]
            assert any(each.startswith("lookups on uvloop: partial (another tool") for each in said)
        assert uvloop.Loop.getaddrinfo is theirs
    with watching(events) as watch:
        ours = uvloop.Loop.getaddrinfo
        genuine = ours
        uvloop.Loop.getaddrinfo = theirs
        assert uvloop.run(main()) == (True, "theirs")
        assert outcomes(watch) == {"completed": 1}
    try:
        assert uvloop.Loop.getaddrinfo is theirs
        assert uvloop.run(main()) == (True, "theirs")
    finally:
        del uvloop.Loop.getaddrinfo


def test_nothing_of_what_was_looked_up_is_kept(watch: loopwatch.Watch) -> None:
    """Neither the futures nor the coroutines."""
    seen: list[weakref.ref[Any]] = []

    async def main() -> None:
        task = asyncio.ensure_future(asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80))
        seen.append(weakref.ref(task.get_coro()))
        seen.append(weakref.ref(task))
        await task

    uvloop.run(main())
    assert watch.flush(10)
    gc.collect()
    assert [each() for each in seen] == [None, None]
    pool = watch._hooks.foreign_loops._lookups._pool  # type: ignore[union-attr]
    assert pool is not None and not pool.running and not pool.waiting


def test_in_the_child_of_a_fork_the_pool_is_new(watch: loopwatch.Watch) -> None:
    """libuv makes its threads anew there, in such number as is said by then."""
    lookups = watch._hooks.foreign_loops._lookups
    assert lookups is not None
    uvloop.run(refused(lookups))
    before = lookups._pool
    lookups.after_fork()
    assert before is not None and lookups._pool is None
    assert before not in list(watch._executors.pools)


async def refused(_: Any) -> None:
    with pytest.raises(OSError, match=r"Name or service|nodename"):
        await refused_name(asyncio.get_running_loop())


def test_a_uvloop_that_is_found_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is met, and then once for each time that is asked for."""
    looked: list[None] = []
    monkeypatch.setattr(LookupHook, "refresh", lambda hook: looked.append(None))
    monkeypatch.setattr("loopwatch.observe.foreign_loops.loop_class", lambda: None)
    hooks = Hooks(0.1, 0.1, Outlets(Alarm(), deque(), deque(), lambda state: None))
    hooks.foreign_loops.install()
    try:
        hooks.foreign_loops.refresh()
        assert looked == []
        monkeypatch.setattr("loopwatch.observe.foreign_loops.loop_class", lambda: uvloop.Loop)
        for times in (1, 2, 3):
            hooks.foreign_loops.refresh()
            assert looked == [None] * times
    finally:
        hooks.foreign_loops.uninstall()
