"""What a stretch of code must keep to, and what of its findings is held against it. Pure: no clocks, no threads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from ..errors import SettingsError
from ..model import Event, Offload, Stall
from ..settings import Settings

Verdict = Literal["clean", "blocked", "unmeasured"]

_NOT_ITS_OWN = ("cpu", "interpreter", "thread", "debug", "loop")
"""What a loop waited for that its code could not help: words of ``Stall.evidence["waited_for"]``."""


class BlockingWarning(UserWarning):
    """A watched test was blocked where ``loopwatch_mode`` is ``warn``, or a rule is of no use."""


@dataclass(frozen=True)
class Terms:
    """How long a loop may be held and a job may wait, in seconds, and whether simulated async counts, too."""

    threshold: float = 0.05
    executor_wait: float = 0.05
    simulated_async: bool = True

    def __post_init__(self) -> None:
        """Raises SettingsError for what cannot be."""
        Settings.resolve({"threshold": self.threshold, "executor_wait": self.executor_wait}, {})
        if not isinstance(self.simulated_async, bool):
            raise SettingsError("simulated_async", self.simulated_async, "True or False")


@dataclass(frozen=True)
class Rule:
    """Blocking that is allowed: at any site where ``site`` is empty, and why."""

    site: str
    reason: str

    def allows(self, event: Event) -> bool:
        """``site`` is a site with or without its line, and may have the wild cards of the shell."""
        return not self.site or any(fnmatchcase(name, self.site) for name in names_of(event))

    def __str__(self) -> str:
        site = f"site={self.site!r}, " if self.site else ""
        return f"allow_blocking({site}reason={self.reason!r})"


class Seen(NamedTuple):
    """What was seen from one moment to another. ``steps`` counts what the loops did, in steps or turns.

    ``unseen`` says in words what could not be seen, and why.
    """

    events: tuple[Event, ...] = ()
    steps: int = 0
    unseen: tuple[str, ...] = ()


class Judgement(NamedTuple):
    """``blocked`` are the findings that count; ``allowed`` by a rule; ``excused``: nobody's fault, and why."""

    verdict: Verdict
    reason: str = ""
    blocked: tuple[Event, ...] = ()
    allowed: tuple[tuple[Event, Rule], ...] = ()
    excused: tuple[tuple[Event, str], ...] = ()


def judge(seen: Seen, terms: Terms, rules: Sequence[Rule] = ()) -> Judgement:
    """Blocked where a finding counts; clean only where loops ran, and all of what they did could be seen."""
    blocked, allowed, excused = [], [], []
    for event in seen.events:
        excuse = excuse_of(event, terms)
        rule = next((rule for rule in rules if rule.allows(event)), None)
        if excuse == TOO_SHORT:
            continue
        if excuse:
            excused.append((event, excuse))
        elif rule is not None:
            allowed.append((event, rule))
        else:
            blocked.append(event)
    others = tuple(blocked), tuple(allowed), tuple(excused)
    if blocked:
        return Judgement("blocked", "", *others)
    if seen.unseen:
        return Judgement("unmeasured", "; ".join(seen.unseen), *others)
    if not seen.steps:
        return Judgement("unmeasured", "no event loop ran a step", *others)
    return Judgement("clean", "", *others)


TOO_SHORT = "within the terms"


def excuse_of(event: Event, terms: Terms) -> str:
    """Why a finding is not held against the code that was watched; empty where it is."""
    if isinstance(event, Stall):
        return _excuse_of_stall(event, terms)
    if isinstance(event, Offload):
        counts = terms.simulated_async and event.verdict == "simulated async" and event.cause == "wait"
        waited = event.run_seconds - (event.cpu_seconds or 0.0)
        return "" if counts and waited >= terms.executor_wait else TOO_SHORT
    return "" if event.waited >= terms.executor_wait else TOO_SHORT


def _excuse_of_stall(stall: Stall, terms: Terms) -> str:
    if stall.duration < terms.threshold:
        return TOO_SHORT
    if stall.cause == "import":
        return "import"
    if stall.cause == "gc" and stall.evidence.get("call") != "gc.collect":
        return "garbage collection"
    if stall.cause in ("suspended", "debugger"):
        return stall.cause
    if stall.cause == "unknown" and (stall.evidence.get("waited_for") in _NOT_ITS_OWN or _is_known(stall)):
        return "not the code's own doing"
    return "" if stall.charged_seconds >= terms.threshold else "mostly not the code's own doing"


def _is_known(stall: Stall) -> bool:
    """Whether the thread's clocks could be read: then ``unknown`` clears the code, see ``explain/cause.py``."""
    return "cpu_seconds" in stall.evidence


def names_of(event: Event) -> set[str]:
    """The names by which a rule may know an event: its site and those of its frames, with and without their lines."""
    names = set(event.site.split(" from "))
    frames: Iterable[Any] = (getattr(event, name, None) for name in ("culprit", "wrapper", "caller"))
    names |= {frame.site for frame in frames if frame is not None}
    return names | {event.site} | {name.rpartition(":")[0] or name for name in names}
