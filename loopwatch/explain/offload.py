"""What the jobs of one site turned out to be: an async API that is a thread pool, or honest work."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from .._names import namespace
from ..facts import Glance, OffloadTally, Origin, RawFrame
from ..model import Frame, Offload, Verdict
from .calls import called_name, resolve_call
from .culprit import OwnCode, in_package, to_frame
from .remedy import framework_remedy, native_client, offload_remedy

_ENOUGH = 3
"""Jobs, and looks at them, for a verdict; fewer may be chance."""
_TELL_JOBS = 10
_TELL_SECONDS = 1.0
_COMPUTES = 0.5
_MAY_COMPUTE = 0.2
_IDLE = 0.01
_BRIEF = 0.001
_HALF = 0.5
_NOISE = 1e-9
"""What is left of a difference of sums that are equal."""

_CARRIERS = (
    "asyncio", "concurrent.futures", "anyio", "asgiref", "starlette.concurrency", "fastapi.concurrency", "uvloop",
    "nest_asyncio", "opentelemetry", "ddtrace", "sentry_sdk", "newrelic", "elasticapm",
)  # fmt: skip
"""What carries a call into a pool and is not to be blamed for being asked to; tracers stand between."""

_FRAMEWORKS = ("fastapi", "starlette", "django", "litestar", "quart", "sanic", "strawberry", "ariadne", "apscheduler")
"""What calls the application's functions by itself: whatever code of its own stands further out asked for nothing."""

_RUNS_LOOP = ("run_forever", "run_until_complete")

_WAYS = {
    ("asyncio.threads", "to_thread"): "asyncio.to_thread",
    ("asyncio.base_events", "run_in_executor"): "loop.run_in_executor",
    ("anyio.to_thread", "run_sync"): "anyio.to_thread.run_sync",
    ("starlette.concurrency", "run_in_threadpool"): "starlette.concurrency.run_in_threadpool",
    ("asgiref.sync", "__call__"): "asgiref.sync.sync_to_async",
}
"""What one calls to hand work over, by module and function: by its public name."""

_FILE_CALLS = frozenset({
    "open", "read", "readinto", "readline", "readlines", "read_bytes", "read_text", "write", "writelines",
    "write_bytes", "write_text", "flush", "fsync", "copyfile", "copyfileobj", "copy", "copy2", "copytree", "rmtree",
    "move", "stat", "listdir", "scandir", "walk", "unlink", "rename", "replace", "truncate",
})  # fmt: skip
_STREAM_CALLS = frozenset({"read", "readinto", "readline", "readlines", "write", "writelines", "flush", "seek"})
_FILE_MODULES = ("pathlib", "shutil", "os", "io", "_io", "tempfile", "posix", "genericpath", "builtins", "aiofiles")
_LOCK_CALLS = frozenset({"acquire", "__enter__", "wait", "join", "get", "result"})
_LOCK_MODULES = ("threading", "queue", "concurrent", "_thread", "_queue")
_LOOKUPS = frozenset({"getaddrinfo", "getnameinfo", "_getaddrinfo_debug"})
"""A loop resolves names in its pool, also for native clients: there is no other way."""


class Place(NamedTuple):
    """Who handed the work over (``wrapper``), and who in another module asked for it (``caller``)."""

    wrapper: RawFrame | None
    caller: RawFrame | None


class Site(NamedTuple):
    """A place in words; ``target`` is the application's own function, where a library handed that over."""

    name: str
    wrapper: Frame | None
    caller: Frame | None
    target: Frame | None = None
    by_framework: bool = False
    """A framework ran the application's plain function in a worker, as its way is with ``def`` routes."""
    openly: bool = False
    """Own code hands the work over where anyone who reads it sees that: no wrapper stands between."""
    way: str | None = None
    """What the loop itself ran to hand the work over, with nobody's code around it: ``asyncio.to_thread``."""


class _Look(NamedTuple):
    """What was seen ``times`` times: ``cpu`` or what was waited for, in which call, and whose code was at work."""

    kind: str
    call: str | None
    packages: tuple[str, ...]
    times: int


def locate(origin: Origin, own: OwnCode) -> Place:
    """The wrapper is the innermost frame that is more than a carrier; the caller the next own frame of another file."""
    frames = [frame for frame in _inside_loop(origin) if own.kind(frame.code.co_filename, frame.module) != "loopwatch"]
    index = next((index for index, frame in enumerate(frames) if not _carries(frame, own)), None)
    if index is None:
        return Place(None, None)
    wrapper = frames[index]
    if _is_framework(wrapper, own):
        return Place(wrapper, None)
    file = wrapper.code.co_filename
    outside = frames[index + 1 :]
    caller = next((frame for frame in outside if own.owns(frame) and frame.code.co_filename != file), None)
    return Place(wrapper, caller)


def _inside_loop(origin: Origin) -> Iterator[RawFrame]:
    """The frames up to that which runs the loop: it asked for no job. A loop written in C has no frames between."""
    return takewhile(lambda frame: not _runs_loop(frame), origin.frames)


def _runs_loop(frame: RawFrame) -> bool:
    call = called_name(frame.code, frame.lasti)
    return call is not None and call.rpartition(".")[2] in _RUNS_LOOP


def _carries(frame: RawFrame, own: OwnCode) -> bool:
    kind = own.kind(frame.code.co_filename, frame.module)
    return kind == "stdlib" or (kind == "library" and _is_in(frame.module, _CARRIERS))


def _is_framework(frame: RawFrame, own: OwnCode) -> bool:
    return _is_in(frame.module, _FRAMEWORKS) and not own.owns(frame)


def _is_in(module: str, packages: Iterable[str]) -> bool:
    return any(in_package(module, name) for name in packages)


def essential(origin: Origin, own: OwnCode) -> Origin:
    """The same origin, with the frames that give it its name and no others, so that equal sites are counted as one."""
    wrapper, caller = locate(origin, own)
    if wrapper is None:
        wrapper = _way(origin)
    return origin._replace(frames=tuple(frame for frame in (wrapper, caller) if frame is not None))


def _way(origin: Origin) -> RawFrame | None:
    """The outermost frame of those that one calls to hand work over."""
    return next(
        (frame for frame in reversed([*_inside_loop(origin)]) if (frame.module, frame.code.co_name) in _WAYS), None
    )


def site_of(origin: Origin, own: OwnCode) -> str:
    """The site's name: ``vendor.client.Client.get:57 from shop.views.order:12``."""
    return name_site(origin, own).name


def name_site(origin: Origin, own: OwnCode) -> Site:
    """The site in words. A library that runs the application's function is no wrapper: that function is the site.

    Where a task is nothing but ``to_thread(f)``, who made it is not known, and ``f`` did nothing but what it was
    asked to: then the site is ``asyncio.to_thread(f)``, without a line.
    """
    place = locate(origin, own)
    wrapper = to_frame(place.wrapper) if place.wrapper is not None else None
    caller = to_frame(place.caller) if place.caller is not None else None
    name, target = (wrapper.site if wrapper is not None else origin.target), None
    if place.wrapper is None or not own.owns(place.wrapper):
        found = own_target(origin.target, own)
        if found is not None:
            name, target = found
            if place.wrapper is not None and _is_framework(place.wrapper, own):
                wrapper = None
    framework = place.wrapper is not None and _is_framework(place.wrapper, own)
    carrier = _way(origin) if place.wrapper is None else None
    way = _WAYS[carrier.module, carrier.code.co_name] if carrier is not None else None
    if way is not None and name == origin.target:
        name = f"{way}({name})"
    openly = place.wrapper is not None and own.owns(place.wrapper) and caller is None
    return Site(f"{name} from {caller.site}" if caller else name, wrapper, caller, target, framework, openly, way)


def own_target(target: str, own: OwnCode) -> tuple[str, Frame | None] | None:
    """The name of the application's function that was handed over, and where it begins, if that can be found.

    None where it is not the application's.
    """
    module = target
    while module:
        module = module.rpartition(".")[0]
        names = namespace(sys.modules.get(module))
        if names:
            file = names.get("__file__")
            if not own.is_own(file if type(file) is str else "<unknown>", module):
                return None
            path = target[len(module) + 1 :]
            code = _code_at(names, path.split("."))
            frame = Frame(module, path, code.co_filename, code.co_firstlineno) if code is not None else None
            return (frame.site if frame is not None else target), frame
    return None


def _code_at(names: Mapping[str, Any], path: list[str]) -> CodeType | None:
    """The code of a function by its qualified name; nothing is asked of any object but classes and functions."""
    found: Any = None
    for step in path:
        if type(found) is CodeType:
            inner = (each for each in found.co_consts if type(each) is CodeType and each.co_name == step)
            found = found if step == "<locals>" else next(inner, None)
        else:
            found = _plain(names.get(step))
        if isinstance(found, type):
            names = vars(found)
        elif type(found) is not CodeType:
            return None
    return found if type(found) is CodeType else None


def _plain(value: Any) -> Any:
    for _ in range(8):
        if type(value) in (staticmethod, classmethod):
            value = value.__func__
        elif type(value) is FunctionType:
            if "__wrapped__" not in value.__dict__:
                return value.__code__
            value = value.__dict__["__wrapped__"]
        else:
            break
    return value


def _measured(tally: OffloadTally) -> tuple[float, float]:
    """The seconds of which it is known how much was computed, and how much that is.

    Brief jobs stand for brief ones and the others for the others: where there are many brief ones few of
    them are measured, and those that wait are seldom brief.
    """
    brief, ran, computed = tally.brief, 0.0, 0.0
    others = (tally.run - brief.run, tally.cpu - brief.cpu, tally.cpu_known - brief.cpu_known)
    for run, cpu, known in (brief, others):
        if run > 0 and known > _NOISE * run:
            ran += run
            computed += run * min(1.0, max(0.0, cpu) / known)
    return ran, computed


def _cpu_share(tally: OffloadTally) -> float | None:
    ran, computed = _measured(tally)
    return computed / ran if ran > 0 else None


def waited(tally: OffloadTally) -> float:
    """The seconds that workers are known to have waited; all that they ran where nothing could be measured."""
    ran, computed = _measured(tally)
    return ran - computed if ran > 0 else tally.run


def judge(tally: OffloadTally, own: OwnCode, site: Site | None = None) -> Offload:
    """The verdict on all jobs of one origin so far; ``site`` is that of the origin, where it is known already."""
    site = site or name_site(tally.origin, own)
    looks = _looks(tally)
    verdict, kind = _verdict(tally, looks)
    waits = verdict == "simulated async" and not site.by_framework
    if verdict == "simulated async" and (site.by_framework or site.way is not None):
        verdict = "offload"  # a plain function that says what it is: nobody took it for async
    call = _most_seen_call(looks, kind)
    share = _cpu_share(tally)
    # Whose code was at work while the jobs did what they mostly do.
    packages = {name for look in looks if look.kind == kind for name in look.packages}
    if native_client(packages) is None:  # a client in C has no frames
        packages.add(tally.origin.target.partition(".")[0])
    return Offload(
        site=site.name,
        target=tally.origin.target,
        executor=tally.origin.executor,
        jobs=tally.jobs,
        wait_seconds=tally.wait,
        run_seconds=tally.run,
        # Where not all jobs were measured one by one, what is known stands for all.
        cpu_seconds=tally.run * share if share is not None else None,
        verdict=verdict,
        cause="wait" if waits else "unknown",
        share=min(1.0, tally.covered / tally.awaited) if tally.awaited > 0 else None,
        wrapper=site.wrapper,
        caller=site.caller,
        workers=tally.workers,
        evidence={
            **_evidence(tally, share, kind, call),
            **({"way": site.way} if site.way else {}),
            **({"openly": True} if site.openly else {}),
        },
        remedy=offload_remedy("simulated async" if waits else verdict, packages, tally.workers, kind, call)
        if not site.by_framework
        else framework_remedy(packages, tally.workers, kind),
    )


def _evidence(tally: OffloadTally, share: float | None, kind: str, call: str | None) -> dict[str, Any]:
    seen: Counter[str] = Counter()
    for glance, count in tally.glances.items():
        seen[glance.activity] += count
    found: dict[str, Any] = {"seen": dict(seen), "loop_jobs": tally.loop_jobs}
    if share is not None:
        found["cpu_share"] = round(share, 4)
    if kind and kind != "cpu":
        found["waited_for"] = kind
    if call:
        found["call"] = call
    return found


def _verdict(tally: OffloadTally, looks: list[_Look]) -> tuple[Verdict, str]:
    """The verdict, and what was mostly seen: ``cpu``, or what was waited for."""
    target = tally.origin.target
    share = _cpu_share(tally)
    kinds: Counter[str] = Counter()
    for look in looks:
        kinds[look.kind] += look.times
    total = kinds.total()
    kind = kinds.most_common(1)[0][0] if kinds else ""
    if target.rpartition(".")[2] in _LOOKUPS:
        return "offload", kind
    if _is_file_call(target, "") or kinds["file"] > _HALF * total:
        return "file I/O offload", "file"
    if share is not None and share >= _COMPUTES:
        # What is over in no time gains nothing elsewhere.
        return ("cpu offload" if tally.run >= _BRIEF * tally.jobs else "offload"), "cpu"
    if 2 * tally.loop_jobs < tally.jobs:
        return "offload", kind
    if total < _ENOUGH or tally.jobs < _ENOUGH:
        return "undecided", kind
    if kinds["network"] + kinds["sleep"] >= _HALF * total:
        return "simulated async", kind
    if kinds["lock"] > _HALF * total and (share is None or share < _MAY_COMPUTE):
        return "lock offload", "lock"
    if share is not None and (share >= _MAY_COMPUTE or (kinds["cpu"] > _HALF * total and share >= _IDLE)):
        # Workers that compute wait for each other's interpreter, or for a CPU: each alone shows less than half.
        return "cpu offload", "cpu"
    return "offload", kind


def _looks(tally: OffloadTally) -> list[_Look]:
    looks = []
    for glance, times in tally.glances.items():
        call = _call(glance, tally.origin.target)
        looks.append(_Look(_kind(glance, call), call, glance.packages, times))
    # Reading and writing takes the CPU, too, where the pages are in memory.
    at_files = {look.call for look in looks if look.kind == "file" and look.call is not None}
    return [look._replace(kind="file") if look.kind == "cpu" and look.call in at_files else look for look in looks]


def _kind(glance: Glance, call: str | None) -> str:
    activity = glance.activity
    module = glance.at.module if glance.at is not None else ""
    if activity in ("network", "file", "futex", "other") and "subprocess" in glance.packages:
        return "process"  # its pipes are polled like sockets
    if activity in ("running", "futex") and call is not None and _is_at_file(call, glance.at):
        return "file"
    if activity == "futex":
        # A wait for a lock, or for the interpreter. Clients that wait in C, or for a thread of theirs, wait for
        # the network all the same.
        if call is not None and native_client(glance.packages):
            return "network"
        locks = call is not None and (call.rpartition(".")[2] in _LOCK_CALLS or _is_in(module, _LOCK_MODULES))
        return "lock" if locks else "cpu"
    return "cpu" if activity == "running" else activity


def _call(glance: Glance, target: str) -> str | None:
    at = glance.at
    if at is None or _is_in(at.module, ("concurrent.futures.thread", "anyio", "asgiref")):
        return target  # a C function stands right below the worker's own frame
    return resolve_call(at.code, at.lasti, at.module)


def _is_at_file(call: str, at: RawFrame | None) -> bool:
    if _is_file_call(call, at.module if at is not None else ""):
        return True
    # What a function that opens something reads and writes: "file.write" says nothing of what "file" is.
    return at is not None and "open" in at.code.co_names and call.rpartition(".")[2] in _STREAM_CALLS


def _is_file_call(name: str, module: str) -> bool:
    owner, _, method = name.rpartition(".")
    if method not in _FILE_CALLS:
        return False
    homes = (owner.partition(".")[0], module.partition(".")[0])
    return name == "open" or owner.endswith("open()") or any(home in _FILE_MODULES for home in homes)


def _most_seen_call(looks: list[_Look], kind: str) -> str | None:
    calls: Counter[str] = Counter()
    for look in looks:
        if look.kind == kind and look.call:
            calls[look.call] += look.times
    return calls.most_common(1)[0][0] if calls else None


def worth_telling(offload: Offload, waited: float) -> bool:
    """Whether there is enough evidence to tell it to reporters: a few calls at start-up are no disease."""
    return offload.cause == "wait" and offload.jobs >= _TELL_JOBS and waited >= _TELL_SECONDS
