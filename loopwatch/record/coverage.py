"""What a watch sees exactly, partly, or not at all, in words that need no manual: nothing is silent."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

from .. import _compat
from ..model import Coverage

_ASYNCIO = "asyncio"
_FOREIGN = ("uvloop", "winloop", "rloop")
"""Modules of loops that are known to make handles of their own."""

_ANYIO_BACKEND = "anyio._backends._asyncio"
_LOOKUPS = (
    "every lookup of a uvloop loop that is submitted under the watch, from then until the loop learns of its end; when "
    "it began follows from the order of the queue and from UV_THREADPOOL_SIZE, no CPU time is known"
)

_REPLACED = "another tool has put its own function into uvloop.Loop: of what that looks up nothing is seen"

_LATE = "AnyIO was loaded while a loop ran: its first jobs may not have been seen; every job since then is"

_OTHER_PROCESSES = {
    "anyio.to_process": ("AnyIO worker processes", "jobs of anyio.to_process go to no executor"),
    "multiprocessing.pool": ("multiprocessing pools", "jobs of multiprocessing.Pool go to no executor"),
}
"""Modules that nothing imports which does not use them, with what they run and why it is not seen."""


def coverage(
    *,
    timed: str = "",
    covered_up: bool = False,
    blind: Mapping[str, str] | None = None,
    partly: Mapping[str, str] | None = None,
    pools: Container[str] = (),
    executors: Mapping[str, bool] | None = None,
    anyio: bool = False,
    anyio_late: bool = False,
    modules: Container[str] = (),
    untold: Iterable[str] = (),
) -> tuple[Coverage, ...]:
    """One entry for each thing that is watched, or that is there and cannot be.

    What a process does not use has no entry. ``timed``: by which stopwatch, in words; ``covered_up``: another tool's
    function stands around ours; ``blind`` and ``partly``: types of loops, with the reason, and ``asyncio`` itself
    where our function is called no more; ``pools``: the kinds that were met; ``anyio``: its threads are seen,
    and ``anyio_late``, perhaps not from the first job on;
    ``executors``: classes that run jobs by themselves and were met, and whether those jobs can be followed;
    ``modules``: the names of what is imported (``sys.modules``); ``untold``: what the platform does not tell.
    """
    blind, partly = dict(blind or {}), dict(partly or {})
    return (
        _asyncio_loops(timed, covered_up, blind.pop(_ASYNCIO, None)),
        *(Coverage(f"loops of {name}", "partial", reason) for name, reason in partly.items()),
        *_foreign_loops(blind, partly, modules),
        *_executors(pools),
        *_foreign_executors(executors or {}),
        *_anyio_threads(anyio, anyio_late, modules),
        *_other_processes(modules),
        *_stalls(tuple(untold)),
    )


def _asyncio_loops(timed: str, covered_up: bool, torn_out: str | None) -> Coverage:
    if torn_out is not None:
        return Coverage("asyncio loops", "blind", torn_out)
    by = f", timed {timed}" if timed else ""
    through = "; what another tool does around each step (in Handle._run) counts as the step's" if covered_up else ""
    return Coverage("asyncio loops", "exact", f"every step and every turn{by}{through}")


def _foreign_loops(blind: Mapping[str, str], partly: Iterable[str], modules: Container[str]) -> list[Coverage]:
    reasons = dict(blind)
    known = {name.partition(".")[0] for name in (*blind, *partly)}
    for name in _FOREIGN:
        if name in modules and name not in known:
            reasons[name] = "it runs its callbacks by code of its own, not by asyncio's"
    return [
        Coverage(f"loops of {name}", "blind", f"{reason}: only the jobs that it gives to pools are seen")
        for name, reason in reasons.items()
    ]


def _executors(pools: Container[str]) -> list[Coverage]:
    found = [Coverage("thread pools", "exact", "every job, from its submission to its end")]
    for kind in ("process", "interpreter"):
        if kind in pools:
            detail = (
                f"from outside the {kind}: when a job began follows from the order of the queue, no CPU time is known"
            )
            found.append(Coverage(f"{kind} pools", "partial", detail))
    if "libuv" in pools:
        found.append(Coverage("libuv's pool for lookups", "partial", _LOOKUPS))
    if "instead of libuv" in pools:
        found.append(Coverage("lookups on uvloop", "partial", _REPLACED))
    return found


def _anyio_threads(seen: bool, late: bool, modules: Container[str]) -> list[Coverage]:
    if seen and late:
        return [Coverage("AnyIO worker threads", "partial", _LATE)]
    if seen:
        return [Coverage("AnyIO worker threads", "exact", "every job, from its wait for a token to its end")]
    if _ANYIO_BACKEND in modules:
        return [
            Coverage(
                "AnyIO worker threads", "blind", "this version of AnyIO starts its jobs in a way that is not known"
            )
        ]
    return []


def _foreign_executors(executors: Mapping[str, bool]) -> list[Coverage]:
    followed = "jobs are timed from their submission to their end: their wait is part of their run, no CPU time"
    lost = "its submit() gives no future of concurrent.futures: nothing of its jobs can be seen"
    return [
        Coverage(f"executors of {name}", "partial" if may_follow else "blind", followed if may_follow else lost)
        for name, may_follow in executors.items()
    ]


def _other_processes(modules: Container[str]) -> list[Coverage]:
    return [Coverage(what, "blind", why) for module, (what, why) in _OTHER_PROCESSES.items() if module in modules]


def _stalls(untold: tuple[str, ...]) -> list[Coverage]:
    found = []
    if not _compat.gil_enabled():
        detail = "without the interpreter lock no thread may read the stack of another: stalls are told without lines"
        found.append(Coverage("stacks of stalls", "blind", detail))
    if untold:
        import platform  # rarely needed, and not small

        where = platform.system() or "this platform"
        detail = f"{where} does not tell {', '.join(untold)}: more stalls than elsewhere are of unknown cause"
        found.append(Coverage("causes of stalls", "partial", detail))
    return found
