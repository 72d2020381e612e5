"""Why a loop was held: decided from the numbers that were taken, never from the name of the code alone.

First what is done *to* code (a debugger, a stopped process, the collector, a host or an interpreter
that is taken): none of it is charged to the code that happened to run. Then what code does itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

from ..facts import Overrun, RawFrame, Sample
from ..model import Cause
from .calls import resolve_call
from .culprit import in_package
from .looks import Look, seconds_of, shares

HALF = 0.5
"""The part of a stall that a cause must explain."""

MOSTLY = 0.6
"""The part that must have been spent on the CPU, or ready for one, where the rest cannot be told."""

LITTLE = 0.2
"""The most that such a thread may have been on the CPU, or ready for one, of which only that is known."""

ASKS_EVERY = 0.02
"""A thread that wants the interpreter wakes to ask for it each switch interval (5 ms); this is generous."""

_ORIGINS = "asyncio.format_helpers"
"""Where asyncio's debug mode notes what stack each handle was made in."""

_NOTES = ("extract_stack", "extract")
"""What is called for that in ``traceback``, the second by uvloop."""

_DEBUGGERS = frozenset({"bdb", "pdb", "ipdb", "pudb", "pydevd", "_pydevd_bundle", "debugpy"})
_WAITS = ("network", "sleep", "file", "process")
_LOCK_METHODS = ("acquire", "__enter__", "wait", "result")
_LOCK_MODULES = ("threading", "queue", "concurrent.futures", "multiprocessing")


class Verdict(NamedTuple):
    """The cause, the numbers behind it, and whether the code that was seen is to be charged with it."""

    cause: Cause
    evidence: Mapping[str, Any]
    charge: bool = True


def decide(overrun: Overrun, looks: Sequence[Look]) -> Verdict:
    """The first cause that the evidence carries. ``looks`` are the overrun's samples, weighed."""
    overrun = _not_queued_asleep(overrun, looks)
    evidence = _numbers(overrun, looks)
    return _done_to_it(overrun, looks, evidence) or _done_by_it(overrun, looks, evidence)


def _not_queued_asleep(overrun: Overrun, looks: Sequence[Look]) -> Overrun:
    """A thread that is seen to wait for something else is not ready for a CPU, whatever was counted around it."""
    queued = overrun.queued_seconds
    asleep = seconds_of(look for look in looks if look.sure and look.sample.activity in (*_WAITS, "other"))
    most = max(0.0, overrun.duration - max(asleep, overrun.cpu_seconds or 0.0))
    return overrun if queued is None or queued <= most else replace(overrun, queued_seconds=most)


def _done_to_it(overrun: Overrun, looks: Sequence[Look], evidence: dict[str, Any]) -> Verdict | None:
    duration, cpu = overrun.duration, overrun.cpu_seconds
    if any(in_debugger(look.sample) for look in looks):
        return Verdict("debugger", evidence, charge=False)
    if overrun.suspended_seconds >= HALF * duration and (cpu is None or cpu < HALF * duration):
        return Verdict("debugger" if overrun.traced else "suspended", evidence, charge=False)
    if overrun.gc_seconds >= HALF * duration:
        asked = forced_collection(overrun)
        return Verdict("gc", {**evidence, **({"call": "gc.collect"} if asked else {})}, charge=asked)
    if (overrun.queued_seconds or 0.0) >= HALF * duration and not _suffices(overrun):
        return Verdict("unknown", {**evidence, "waited_for": "cpu"}, charge=False)
    if _wants_interpreter(overrun, looks):
        return Verdict("unknown", {**evidence, "waited_for": "interpreter"}, charge=False)
    if _starts_thread(overrun, looks):
        return Verdict("unknown", {**evidence, "waited_for": "thread"}, charge=False)
    if _notes_origins(looks):
        return Verdict("unknown", {**evidence, "waited_for": "debug"}, charge=False)
    if _is_between(overrun, looks):
        return Verdict("unknown", {**evidence, "waited_for": "loop"}, charge=False)
    return None


def _is_between(overrun: Overrun, looks: Sequence[Look]) -> bool:
    """Whether the time passed before the step had begun to run."""
    if any(look.sure and look.frames for look in looks):
        return False
    before = seconds_of(look for look in looks if look.before)
    return overrun.between or (before > 0 and before >= HALF * seconds_of(looks))


def _done_by_it(overrun: Overrun, looks: Sequence[Look], evidence: dict[str, Any]) -> Verdict:
    duration, cpu, queued = overrun.duration, overrun.cpu_seconds, overrun.queued_seconds or 0.0
    modules = shares(looks, lambda look: look.sample.importing)
    if modules and sum(modules.values()) >= HALF * seconds_of(looks):
        return Verdict("import", {**evidence, "module": next(iter(modules))})
    if cpu is not None and (cpu >= HALF * duration or queued >= HALF * duration):
        return _computed(overrun, looks, evidence)
    waiting = _waiting(overrun, looks)
    if waiting is not None:
        return Verdict("wait", {**evidence, **waiting})
    if cpu is None:
        return Verdict("unknown", evidence)
    if cpu + queued >= MOSTLY * duration:
        # It wanted the CPU nearly all along: what it used is its own doing.
        if cpu >= queued or _suffices(overrun):
            return _computed(overrun, looks, evidence)
        return Verdict("unknown", {**evidence, "waited_for": "cpu"}, charge=False)
    known = overrun.wakes is not None and overrun.queued_seconds is not None
    seen = any(look.frames for look in looks) or not in_package(overrun.handle.module, "asyncio")
    if seen and known and not _asks(overrun) and cpu + queued <= LITTLE * duration:
        # Off the CPU, not queued for one, and not asking for the interpreter: blocked, in what was not seen.
        return Verdict("wait", {**evidence, "waited_for": "other", **_called(looks, overrun)})
    return Verdict("unknown", evidence, charge=False)


def _numbers(overrun: Overrun, looks: Sequence[Look]) -> dict[str, Any]:
    found: dict[str, Any] = {"samples": len(looks)}
    if overrun.cpu_seconds is not None:
        found["cpu_seconds"] = round(overrun.cpu_seconds, 6)
        found["cpu_share"] = round(min(1.0, overrun.cpu_seconds / max(overrun.duration, 1e-9)), 4)
    if overrun.queued_seconds is not None:
        found["queued_seconds"] = round(overrun.queued_seconds, 6)
    if overrun.within is not None:
        found["exact"] = False
        found["within_seconds"] = round(overrun.within, 6)
    starved = _starved(overrun, looks)
    if starved > 0:
        found["interpreter_seconds"] = round(starved, 6)
    for name in ("gc_seconds", "suspended_seconds"):
        seconds = getattr(overrun, name)
        if seconds:
            found[name] = round(seconds, 6)
    if overrun.wakes is not None:
        found["wakes"] = round(overrun.wakes)
    if overrun.gc_generation is not None:
        found["gc_generation"] = overrun.gc_generation
    if overrun.gc_elsewhere and overrun.gc_seconds >= HALF * overrun.duration:
        found["gc_elsewhere"] = True
    seen = Counter(look.sample.activity for look in looks if look.sample.activity)
    if seen:
        found["seen"] = dict(seen)
    late = sum(not look.sure for look in looks)
    if late:
        found["late_samples"] = late
    return found


def in_debugger(sample: Sample) -> bool:
    """Whether the thread stood in a debugger's own code."""
    return any(frame.module.partition(".")[0] in _DEBUGGERS for frame in sample.frames)


def forced_collection(overrun: Overrun) -> bool:
    """Whether code called the collector; otherwise it ran because so many objects had been made."""
    return innermost_call(overrun.gc_frames) == "gc.collect"


def _notes_origins(looks: Sequence[Look]) -> bool:
    """Whether asyncio's debug mode was at work: it reads source files to note where each handle and task was made."""
    noting = seconds_of(look for look in looks if look.sure and _notes_origin(look.frames))
    return noting > 0 and noting >= HALF * seconds_of(looks)


def _notes_origin(frames: Sequence[RawFrame]) -> bool:
    return any(
        frame.code.co_name in _NOTES
        and (frame.module == _ORIGINS or (frame.module == "traceback" and _asked_by_the_loop(outer, frame)))
        for outer, frame in pairwise(frames)
    )


def _asked_by_the_loop(outer: RawFrame, frame: RawFrame) -> bool:
    """Whether asyncio, or code of C such as uvloop's handles, tasks and futures, asks for a stack.

    Code of C has no frame: what called it comes next, and does not name what it is seen in. What is called by
    Python code is that code's doing.
    """
    if outer.module == "traceback":
        return False
    name = frame.code.co_name
    named = name in outer.code.co_names or (resolve_call(*outer) or "").endswith(f".{name}")
    return not named or in_package(outer.module, "asyncio")


# --- what is nobody's ---


def _computed(overrun: Overrun, looks: Sequence[Look], evidence: dict[str, Any]) -> Verdict:
    return Verdict("cpu", {**evidence, **_unaccounted(overrun, looks)})


def _unaccounted(overrun: Overrun, looks: Sequence[Look]) -> dict[str, float]:
    """What code that computes has surely not computed, and nobody knows where it went.

    Where a hypervisor gives the CPU to another machine, the guest's kernel counts that neither as on the CPU nor as
    in the queue for one (``update_rq_clock_task`` in Linux' ``kernel/sched/core.c`` takes it off). The same becomes
    of what the kernel counts too late, and of the time for which a look takes the interpreter.

    Of waits of the code's own nothing is to be in it: so not what passed before the first look, nor what others show.
    A thread that has not woken at all while it was looked at has not slept then.
    """
    cpu, unseen = overrun.cpu_seconds, overrun.off_unseen
    if cpu is None or unseen is None:
        return {}
    slept = overrun.wakes is None or overrun.wakes >= 1
    own = unseen + (seconds_of(look for look in looks if _may_wait(look.sample, overrun)) if slept else 0.0)
    collected = overrun.gc_seconds if overrun.gc_elsewhere else 0.0
    others = (overrun.queued_seconds or 0.0) + _starved(overrun, looks) + overrun.suspended_seconds + collected
    left = round(overrun.duration - cpu - others - own, 6)
    return {"unaccounted_seconds": left} if left > 0 else {}


def _may_wait(sample: Sample, overrun: Overrun) -> bool:
    """Whether the thread may have waited for something of its own when it was looked at."""
    return sample.activity != "running" and not (sample.activity == "futex" and _asks(overrun))


# --- waiting ---


def _asks(overrun: Overrun) -> bool:
    """Whether the thread woke as often as one does that wants the interpreter."""
    return overrun.wakes is not None and overrun.wakes >= max(2.0, overrun.duration / ASKS_EVERY)


def _starved(overrun: Overrun, looks: Sequence[Look]) -> float:
    """How long the loop's thread asked for the interpreter: what it neither computed nor waited for a CPU, nor was
    seen to wait for anything else. Who looks at a thread that computes takes the interpreter away, and so wakes it.
    """
    cpu = overrun.cpu_seconds
    if cpu is None or not _asks(overrun):
        return 0.0
    known = [look for look in looks if look.sample.activity is not None]
    asking = seconds_of(look for look in known if look.sample.activity == "futex")
    waiting = seconds_of(look for look in known if look.sample.activity not in ("futex", "running"))
    left = overrun.duration - cpu - (overrun.queued_seconds or 0.0) - waiting
    return max(0.0, left) if asking > waiting or not known else 0.0


def _suffices(overrun: Overrun) -> bool:
    """Whether what it computed would have held the loop too long by itself."""
    return overrun.cpu_seconds is not None and overrun.cpu_seconds >= overrun.threshold > 0


def _wants_interpreter(overrun: Overrun, looks: Sequence[Look]) -> bool:
    """Whether others held the interpreter while the loop's thread asked for it."""
    if _suffices(overrun) and (overrun.cpu_seconds or 0.0) >= HALF * overrun.duration:
        return False
    return _starved(overrun, looks) > (1 - MOSTLY) * overrun.duration


def _starts_thread(overrun: Overrun, looks: Sequence[Look]) -> bool:
    """Whether it stood in ``Thread.start()``, which waits until the new thread runs.

    That looks like a wait for a lock, and is none that code could hold for less long: the new thread
    gets no interpreter, or no CPU.
    """
    if (overrun.cpu_seconds or 0.0) >= HALF * overrun.duration:
        return False
    starting = seconds_of(look for look in looks if any(map(_is_start, look.frames)))
    return starting > 0 and starting >= HALF * seconds_of(looks)


def _is_start(frame: RawFrame) -> bool:
    return frame.module == "threading" and frame.code.co_name == "start"


def _waiting(overrun: Overrun, looks: Sequence[Look]) -> dict[str, Any] | None:
    """What was waited for, and in which call; None where no wait was seen in most of the time."""
    seen_in_time = any(look.sure and look.sample.activity == "futex" for look in looks)
    kinds = shares(looks, lambda look: _wait_of(look.sample, overrun, seen_in_time))
    if not kinds or sum(kinds.values()) < HALF * seconds_of(looks):
        return None
    kind = next(iter(kinds))
    found: dict[str, Any] = {"waited_for": kind}
    if kind == "lock" and overrun.wakes is None:
        found["certain"] = False  # a guess from names: a wait for the interpreter looks the same
    shown = [look for look in looks if _wait_of(look.sample, overrun, seen_in_time) == kind]
    if kind in ("network", "file", "other") and any(_runs_process(look.frames) for look in shown):
        found["waited_for"] = "process"
    return {**found, **_called(shown, overrun)}


def _called(looks: Sequence[Look], overrun: Overrun) -> dict[str, Any]:
    calls = shares(looks, lambda look: call_in(look.sample, overrun))
    return {"call": next(iter(calls))} if calls else {}


def _wait_of(sample: Sample, overrun: Overrun, seen_in_time: bool) -> str | None:
    if sample.activity in _WAITS:
        return sample.activity
    if sample.activity == "futex" and not seen_in_time:
        return None  # it may wait for the interpreter that the sampler has just been given
    if sample.activity == "futex" and overrun.wakes is not None:
        return None if _asks(overrun) else "lock"
    call = call_in(sample, overrun)
    if sample.activity in ("futex", None) and call is not None and _takes_lock(call, sample.frames):
        return "lock"
    if sample.activity == "other" and (overrun.cpu_seconds or 0.0) < 0.3 * overrun.duration:
        return "other"
    return None


def _takes_lock(call: str, frames: Sequence[RawFrame]) -> bool:
    module = frames[-1].module if frames else ""
    return call.rpartition(".")[2] in _LOCK_METHODS or any(in_package(module, name) for name in _LOCK_MODULES)


def _runs_process(frames: Sequence[RawFrame]) -> bool:
    """Whether it waited inside ``subprocess``, which polls the pipes of the process."""
    return any(frame.module == "subprocess" for frame in frames)


def innermost_call(frames: Sequence[RawFrame]) -> str | None:
    """What the innermost frame was calling, as ``time.sleep``."""
    if not frames:
        return None
    inner = frames[-1]
    return resolve_call(inner.code, inner.lasti, inner.module)


def call_in(sample: Sample, overrun: Overrun) -> str | None:
    """The same for a sample; without any frame, the callback itself where that is of C."""
    if sample.frames or overrun.handle.code is not None or overrun.kind == "turn":
        return innermost_call(sample.frames)
    return overrun.handle.callback
