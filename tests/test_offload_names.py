"""The names that an offload is given: who handed the work over, and who asked for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from loopwatch.explain.culprit import OwnCode
from loopwatch.explain.offload import essential, judge, locate, name_site, own_target, site_of, waited, worth_telling
from loopwatch.facts import RawFrame
from tests.made_offloads import (
    APPLICATION,
    CALLER,
    CARRIERS,
    LIBRARY,
    OURS,
    STDLIB,
    WRAPPER,
    frame,
    glance,
    origin,
    tally,
)


def test_a_wrapper_in_a_library_is_named_with_its_caller(own):
    """Both ends of the disease: who hands the work over, and who asked for it."""
    site = site_of(origin(*CARRIERS, WRAPPER, frame("vendor.api.call", LIBRARY), CALLER), own)
    assert site == "vendor.client.get:2 from shop.views.order:2"


def test_a_wrapper_of_ones_own_is_named_with_its_caller_in_another_file(own):
    """Own code has wrappers, too; a caller in the same file adds nothing."""
    wrapper = frame("shop.db.get")
    assert site_of(origin(*CARRIERS, wrapper, CALLER), own) == "shop.db.get:2 from shop.views.order:2"
    same_file = RawFrame(frame("shop.db.load").code, 0, "shop.db")
    assert site_of(origin(*CARRIERS, wrapper, same_file, CALLER), own).endswith("from shop.views.order:2")
    assert site_of(origin(*CARRIERS, wrapper, same_file), own) == "shop.db.get:2"


def test_own_code_that_hands_the_work_over_is_the_site(own):
    """Without a wrapper between, there is no caller to name."""
    assert site_of(origin(*CARRIERS, CALLER), own) == "shop.views.order:2"


@pytest.mark.parametrize(
    "carrier",
    ["anyio.to_thread.run_sync", "asgiref.sync.__call__", "starlette.concurrency.run_in_threadpool",
     "opentelemetry.instrumentation.threading.submit", "sentry_sdk.integrations.threading.submit"],
)  # fmt: skip
def test_what_carries_a_call_is_not_named(own, carrier):
    """Carriers and tracers are asked to hand over; whoever asked them is the site."""
    assert site_of(origin(*CARRIERS, frame(carrier, LIBRARY), CALLER), own) == "shop.views.order:2"


def test_code_of_ones_own_is_never_a_carrier(own):
    """A module of the application may be called like a carrier."""
    assert site_of(origin(frame("anyio.mine.call")), own) == "anyio.mine.call:2"


def test_own_code_that_hands_over_by_itself_is_no_disguise(own):
    """It follows the advice to use to_thread. A wrapper of one's own, that others call, is one as a library's is."""
    openly = [
        judge(tally(glance("network"), of=origin(*CARRIERS, *frames)), own).evidence.get("openly", False)
        for frames in ((CALLER,), (frame("shop.db.get"), CALLER), (WRAPPER, CALLER), (WRAPPER,))
    ]
    assert openly == [True, False, False, False]


@pytest.mark.parametrize("call", ["loop.run_until_complete", "self._loop.run_until_complete", "loop.run_forever"])
def test_what_runs_the_loop_asked_for_nothing(own, call):
    """A loop written in C has no frames, so that its step is not found: the stack goes on to the program's own."""
    loop_runner, program = frame("asyncio.runners.run", STDLIB, call), frame("start.main")
    assert site_of(origin(*CARRIERS, WRAPPER, loop_runner, program), own) == "vendor.client.get:2"
    assert site_of(origin(*CARRIERS, WRAPPER, frame("start.main", call=call)), own) == "vendor.client.get:2"
    assert site_of(origin(*CARRIERS, loop_runner, program), own) == "asyncio.to_thread(requests.api.get)"
    within = origin(*CARRIERS, WRAPPER, CALLER, loop_runner, program)
    assert site_of(within, own) == site_of(essential(within, own), own) == "vendor.client.get:2 from shop.views.order:2"


def test_loopwatch_is_never_named(own):
    """Frames of ours say nothing."""
    assert site_of(origin(frame("loopwatch.observe.jobs.executors.submit", OURS), CALLER), own) == "shop.views.order:2"


@pytest.mark.parametrize(
    ("carriers", "name"),
    [
        (CARRIERS, "asyncio.to_thread(requests.api.get)"),
        (CARRIERS[:1], "loop.run_in_executor(requests.api.get)"),
        ((frame("anyio.to_thread.run_sync", LIBRARY), frame("anyio._core._tasks._run_coro", LIBRARY)),
         "anyio.to_thread.run_sync(requests.api.get)"),
        ((), "requests.api.get"),
    ],
)  # fmt: skip
def test_what_nobody_handed_over_is_named_by_the_way_that_it_went(own, carriers, name):
    """gather(to_thread(f)) runs in a task that consists of a carrier alone; a threadless lane has no frames at all."""
    assert site_of(origin(*carriers), own) == name
    assert site_of(essential(origin(*carriers), own), own) == name


def test_nobody_is_simulated_async_where_it_is_not_known_who_handed_the_work_over(own, routes):
    """The function did nothing but what it was asked to. That workers wait for it is told all the same."""
    for target in ("requests.api.get", "shop.routes.report"):
        jobs = tally(glance("network"), of=origin(*CARRIERS, target=target))
        offload = judge(jobs, own)
        assert (offload.verdict, offload.cause, offload.wrapper) == ("offload", "wait", None)
        assert offload.evidence["way"] == "asyncio.to_thread" and "native" in offload.remedy
        assert worth_telling(offload, waited(jobs))


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module of the application that is loaded: shop.routes."""
    module = ModuleType("shop.routes")
    file = f"{APPLICATION}shop/routes.py"
    module.__file__ = file
    source = """
import functools

def decorated(function):
    @functools.wraps(function)
    def wrapper():
        return function()
    return wrapper

def report():
    pass

class Reports:
    @staticmethod
    def yearly():
        pass

    def monthly(self):
        pass

@decorated
def wrapped():
    pass

def create_app():
    def inside():
        pass
    return inside
"""
    exec(compile(source, file, "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, "shop.routes", module)
    yield module


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("report", 10),
        ("Reports.yearly", 14),
        ("Reports.monthly", 18),
        ("wrapped", 21),
        ("create_app.<locals>.inside", 26),
    ],
)
def test_the_applications_own_target_is_found_with_its_line(own, routes, path, line):
    """Functions, methods, decorated ones and those inside others; the line is that of their definition."""
    # The first line of a decorated function is that of the decorator, which Python 3.10 to 3.15 agree about.
    found = own_target(f"shop.routes.{path}", own)
    assert found is not None and found[1] is not None
    assert (found[1].module, found[1].function, found[1].file) == ("shop.routes", path, routes.__file__)
    assert found[1].line == line and found[0] == f"shop.routes.{path}:{line}"


def test_an_own_target_that_cannot_be_found_keeps_its_name(own, routes):
    """A lambda or a replaced function has no line, but it is the application's."""
    assert own_target("shop.routes.<lambda>", own) == ("shop.routes.<lambda>", None)
    assert own_target("shop.routes.gone.<locals>.f", own) == ("shop.routes.gone.<locals>.f", None)


def test_a_target_that_is_not_the_applications_is_none_of_its(own):
    """Libraries, the standard library, and what is not loaded."""
    assert own_target("threading.Thread.start", OwnCode()) is None
    assert own_target("pytest.main", OwnCode()) is None
    assert own_target("nowhere.at.all", own) is None
    assert own_target("", own) is None


def test_looking_for_a_target_asks_nothing_of_the_application(own, monkeypatch):
    """Objects in its modules may do anything when they are asked for an attribute."""

    class Trap:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"asked for {name}")

    module = ModuleType("shop.trap")
    module.__file__ = f"{APPLICATION}shop/trap.py"
    vars(module).update(client=Trap())
    monkeypatch.setitem(sys.modules, "shop.trap", module)
    assert own_target("shop.trap.client.get", own) == ("shop.trap.client.get", None)


ROUTE = (
    frame("anyio.to_thread.run_sync", LIBRARY),
    frame("starlette.concurrency.run_in_threadpool", LIBRARY),
    frame("fastapi.routing.run_endpoint_function", LIBRARY),
    frame("starlette.routing.app", LIBRARY),
)


def test_a_route_without_async_is_its_own_site(own, routes):
    """No code of the application handed it over: the framework did. Middleware further out asked for nothing."""
    middleware = frame("shop.middleware.timing")
    offload = judge(tally(of=origin(*ROUTE, middleware, target="shop.routes.report")), own)
    assert (offload.site, offload.wrapper, offload.caller) == ("shop.routes.report:10", None, None)
    assert name_site(origin(*ROUTE, target="shop.routes.report"), own).target is not None


def test_a_library_that_runs_the_applications_function_is_no_wrapper(own, routes):
    """A scheduler hands over what it was given: the site is what it was given, with who asked, if anyone did."""
    scheduler = frame("cronlike.scheduler.run", LIBRARY)
    assert site_of(origin(scheduler, target="shop.routes.report"), own) == "shop.routes.report:10"
    asked = site_of(origin(scheduler, CALLER, target="shop.routes.report"), own)
    assert asked == "shop.routes.report:10 from shop.views.order:2"


@pytest.mark.parametrize(
    "frames",
    [(*CARRIERS, WRAPPER, frame("vendor.api.call", LIBRARY), CALLER), (*CARRIERS, CALLER), CARRIERS, (), ROUTE,
     (*ROUTE, CALLER)],
)  # fmt: skip
def test_the_essential_frames_give_the_same_name(own, routes, frames):
    """Jobs are counted by them, so that different ways to a site are one."""
    for target in ("requests.api.get", "shop.routes.report"):
        whole = origin(*frames, target=target)
        short = essential(whole, own)
        assert site_of(short, own) == site_of(whole, own)
        assert essential(short, own) == short
        assert len(short.frames) <= 2
    assert locate(origin(*frames), own) == locate(essential(origin(*frames), own), own)
