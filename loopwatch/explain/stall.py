"""From an overrun, as observed, to a stall in words: who, why, and what to do instead."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from .._names import code_name
from ..facts import UNKNOWN_CALLBACK, Overrun, RawFrame
from ..model import Contributor, StackShare, Stall
from .calls import resolve_call
from .cause import HALF, Verdict, decide, innermost_call
from .culprit import OwnCode, charged, find_culprit, line_of, to_frame, to_stack
from .looks import Look, seconds_of, shares, weigh
from .remedy import stall_remedy

_PROFILE_FROM = 3
_PROFILE_STACKS = 5


class Blame(NamedTuple):
    """Who is charged (nobody: ``frame`` is None), the stack that shows it, and whether that is certain.

    ``seen``: it was seen at work; otherwise it is what the loop called, and its line is no place where it was.
    """

    frame: RawFrame | None
    stack: tuple[RawFrame, ...]
    certain: bool = True
    look: Look | None = None
    seen: bool = True


class Charge(NamedTuple):
    """A look, and the frame to charge with what it shows."""

    look: Look
    frame: RawFrame


def explain_stall(overrun: Overrun, own: OwnCode) -> Stall:
    """The stall that an overrun was. Pure; may be called from any thread."""
    looks = weigh(overrun)
    verdict = decide(overrun, looks)
    blame = _blame(overrun, looks, verdict, own)
    evidence = dict(verdict.evidence)
    if not blame.certain:
        evidence["certain"] = False
    if not blame.seen:
        evidence["place"] = "unknown"
    if verdict.cause in ("cpu", "unknown") and (call := innermost_call(blame.stack)):
        evidence["call"] = call
    if blame.frame is not None and blame.stack and blame.frame is not blame.stack[-1]:
        called = resolve_call(*blame.frame)  # in the reader's own words: requests.get, not the socket far below
        if called is not None:
            evidence["called"] = called
    library = blame.frame is not None and not own.owns(blame.frame)
    if library and not _is_crowd(overrun) and (beside := _own_beside(looks, own)) is not None:
        evidence["own_code"] = to_frame(beside).site
    task, coroutine = _ran(overrun, blame.look)
    return Stall(
        id=overrun.id,
        kind=overrun.kind,
        duration=overrun.duration,
        started_at=overrun.started_at,
        loop=overrun.loop,
        thread=overrun.thread,
        task=task,
        coroutine=coroutine,
        callback=_callback(overrun, blame.stack),
        culprit=to_frame(blame.frame) if blame.frame is not None else None,
        stack=to_stack(blame.stack),
        profile=_profile(looks),
        cause=verdict.cause,
        evidence=evidence,
        remedy=stall_remedy(verdict.cause, evidence, _inside(blame, own), _may_be_crowd(overrun), library),
        delayed=overrun.delayed,
        steps=overrun.steps,
        contributors=tuple(Contributor(each.name, each.steps, each.seconds) for each in overrun.contributors),
        in_progress=overrun.ended is None,
        trace_id=overrun.span.trace_id if overrun.span is not None else None,
        span_id=overrun.span.span_id if overrun.span is not None else None,
    )


def _callback(overrun: Overrun, stack: Sequence[RawFrame]) -> str:
    """What the loop called; of a handle that has forgotten it, the function that was seen."""
    name = overrun.handle.callback
    if name != UNKNOWN_CALLBACK or not stack:
        return name
    outermost = to_frame(stack[0])
    return f"{outermost.module}.{outermost.function}"


def _ran(overrun: Overrun, look: Look | None) -> tuple[str | None, str | None]:
    """The task and the coroutine that ran: those seen, as an eager task runs inside the step of another."""
    if _is_crowd(overrun):
        return None, None
    handle, sample = overrun.handle, look.sample if look is not None else None
    if sample is None or sample.task is None:
        return handle.task, handle.coroutine
    return sample.task, sample.coroutine or handle.coroutine


def _blame(overrun: Overrun, looks: Sequence[Look], verdict: Verdict, own: OwnCode) -> Blame:
    if verdict.cause == "gc" and overrun.gc_frames:
        # What is shown is what set it off, as the remedy is for that: any look may show another collection.
        return Blame(charged(overrun.gc_frames, own) if verdict.charge else None, overrun.gc_frames)
    shown = next((look for look in reversed(looks) if look.frames), None)
    nobody = Blame(None, shown.frames if shown else (), True, shown)
    if not verdict.charge:
        return nobody
    if not looks:
        return _blame_unseen(overrun, own)
    found = [Charge(look, frame) for look in looks if (frame := _charged_by(look, overrun, own)) is not None]
    mine = _most(found, lambda charge: id(charge.frame.code))
    seconds = _seconds(mine)
    if _is_crowd(overrun) and not _made_most(mine, looks, overrun):
        unseen = _blame_unseen(overrun, own)
        return unseen if unseen.frame is not None else nobody
    if not mine:
        return nobody
    certain = _seconds([charge for charge in mine if charge.look.sure]) >= HALF * seconds
    most = _most(mine, lambda charge: line_of(charge.frame.code, charge.frame.lasti))
    module = verdict.evidence.get("module")  # an import is shown by a look at that one, not at the next of its line
    look, frame = next((charge for charge in reversed(most) if charge.look.sample.importing == module), most[-1])
    return Blame(frame, look.frames, certain, look, bool(look.frames))


def _made_most(mine: Sequence[Charge], looks: Sequence[Look], overrun: Overrun) -> bool:
    """Whether most of a turn of many callbacks was seen in one function, and the stopwatch does not gainsay it.

    A few looks at many callbacks may find the same one by chance. How long the callbacks took in which it
    was found is known exactly, but for those too short to be kept by name: these may all have been it.
    """
    if not mine or _seconds(mine) < HALF * seconds_of(looks):
        return False
    called = {code_name(frame.code) for charge in mine for frame in charge.look.frames}
    others = sum(each.seconds for each in overrun.contributors if each.name not in called)
    return overrun.duration - others >= HALF * overrun.duration


def _own_beside(looks: Sequence[Look], own: OwnCode) -> RawFrame | None:
    """The own code that was surely seen in the step, and most of it: what a library did for it is told beside it."""
    seen = [
        Charge(look, frame) for look in looks if look.sure and (frame := find_culprit(look.frames, own)) is not None
    ]
    most = _most([charge for charge in seen if own.owns(charge.frame)], lambda charge: id(charge.frame.code))
    return most[0].frame if most else None


def _inside(blame: Blame, own: OwnCode) -> tuple[RawFrame, ...]:
    """What the own code that is charged has called; all that was seen where no own code is charged."""
    frame, stack = blame.frame, blame.stack
    if frame is None or frame not in stack or not own.owns(frame):
        return stack
    return stack[stack.index(frame) + 1 :]


def _most(charges: Sequence[Charge], key: Callable[[Charge], int]) -> list[Charge]:
    """Those of the key that has most of the seconds."""
    found: dict[int, list[Charge]] = {}
    for charge in charges:
        found.setdefault(key(charge), []).append(charge)
    return max(found.values(), key=_seconds, default=[])


def _seconds(charges: Sequence[Charge]) -> float:
    return seconds_of(charge.look for charge in charges)


def _charged_by(look: Look, overrun: Overrun, own: OwnCode) -> RawFrame | None:
    if look.frames:
        return charged(look.frames, own)
    return None if look.sure else _step_of(overrun, own)  # it was over before anything could be seen


def _blame_unseen(overrun: Overrun, own: OwnCode) -> Blame:
    """Nothing was seen: what the loop called is known all the same, and it, or what it called, held the loop."""
    frame = _step_of(overrun, own)
    crowd = _is_crowd(overrun)
    return Blame(frame, (), frame is None or crowd, None, frame is None or crowd)


def _step_of(overrun: Overrun, own: OwnCode) -> RawFrame | None:
    """The function that the loop called, at its first line; None for asyncio's own and for C.

    Of a turn of many it is the one that took half of it at least, which the stopwatch knows exactly.
    """
    code, module = overrun.handle.code, overrun.handle.module
    if _is_crowd(overrun):
        most = overrun.contributors[0] if overrun.contributors else None
        code = most.code if most is not None and most.seconds >= HALF * overrun.duration else None
    if code is None:
        return None
    module = module or _module_in(code.co_filename)
    return RawFrame(code, -1, module) if own.kind(code.co_filename, module) in ("own", "library") else None


def _module_in(file: str) -> str:
    """The name of the module that was loaded from a file: a coroutine that has ended does not tell its own."""
    for name, module in list(sys.modules.items()):
        if type(module) is ModuleType and vars(module).get("__file__") == file:
            return name
    return ""


def _is_crowd(overrun: Overrun) -> bool:
    return overrun.kind == "turn" and overrun.steps > 1


def _may_be_crowd(overrun: Overrun) -> bool:
    """The same of a turn that lasts, whose steps nobody has counted yet."""
    return _is_crowd(overrun) or (overrun.kind == "turn" and overrun.ended is None)


def _profile(looks: Sequence[Look]) -> tuple[StackShare, ...]:
    if len(looks) < _PROFILE_FROM:
        return ()
    total = seconds_of(looks) or 1.0
    stacks = {_stack_key(look.frames): look.frames for look in looks}
    most = list(shares(looks, lambda look: _stack_key(look.frames)).items())[:_PROFILE_STACKS]
    return tuple(StackShare(to_stack(stacks[key]), seconds / total) for key, seconds in most)


def _stack_key(frames: Sequence[RawFrame]) -> tuple[int, ...]:
    """The same for all stacks that differ in the place within the innermost line only."""
    if not frames:
        return ()
    outer = [number for frame in frames[:-1] for number in (id(frame.code), frame.lasti)]
    inner = frames[-1]
    return (*outer, id(inner.code), line_of(inner.code, inner.lasti))
