"""What the watch sees from one moment to another, with what is under way at either end cut there."""

from __future__ import annotations

import threading
from typing import NamedTuple

from .. import _compat
from ..model import Event
from ..watch import Watch
from .jobs import Tallies, by_origin, offloads
from .post import Post
from .terms import Seen, Terms

clocks = _compat.clocks
_SLACK = 0.01
_PATIENCE = 5.0


class _Mark(NamedTuple):
    """The sums of one watch at one moment."""

    steps: int
    lost: int
    tallies: Tallies


_NOTHING = _Mark(0, 0, {})


class Period:
    """From ``begin()`` to ``pause()``, or ``end()``, which waits some milliseconds for the sampler. In one thread."""

    def __init__(self, post: Post, terms: Terms) -> None:
        self.since = self.until = 0.0
        self._post = post
        self._terms = terms
        self._told: list[tuple[Event, float]] = []
        self._marks: dict[Watch, _Mark] = {}

    def begin(self) -> None:
        watch = self._post.watch
        self._post.ears.append(self._hear)
        self._post.on_change.append(self._meet)
        if watch is not None:
            watch._drain()
            self._marks[watch] = mark_of(watch)
            if self._post.ours:
                watch._loops.forget_unseen()
        self.since = clocks.monotonic()  # before the cut: what is left of the present step begins there
        if watch is not None:
            watch._loops.cut()

    def pause(self) -> None:
        """What begins from here on is outside."""
        if self.since and not self.until:
            self.until = clocks.monotonic()
            if self._post.watch is not None:
                self._post.watch._loops.cut()

    def end(self) -> Seen:
        """What began in between, and what of it could not be seen."""
        if not self.since:
            return Seen(unseen=("it was not begun",))
        self.pause()
        watch, complete = self._post.watch, True
        if watch is not None and watch._installed:
            complete = settle(watch, self.until)
            watch._loops.cut()  # that was our doing
        self._post.ears.remove(self._hear)
        self._post.on_change.remove(self._meet)
        return self._seen(complete)

    def _hear(self, event: Event, began: float, left_by: str | None) -> None:
        self._told.append((event, began))

    def _meet(self, watch: Watch) -> None:
        self._marks[watch] = _NOTHING

    def _seen(self, complete: bool) -> Seen:
        events: dict[str, Event] = {}
        for event, began in list(self._told):
            if self.since <= latest_beginning(event, began) <= self.until:
                events[getattr(event, "id", "")] = event  # that it ended is told after that it lasts
        found: list[Event] = list(events.values())
        steps, unseen = 0, [] if complete else ["the sampler was kept from looking"]
        if self._post.watch is None:
            unseen.append(f"no watch is in place: {self._post.failure}")
        for watch, before in self._marks.items():
            now = mark_of(watch)
            steps += max(0, now.steps - before.steps)
            found += offloads(before.tallies, now.tallies, watch._own)
            unseen += self._not_seen(watch, now.lost - before.lost)
        return Seen(tuple(found), steps, tuple(dict.fromkeys(unseen)))

    def _not_seen(self, watch: Watch, lost: int) -> list[str]:
        found = [f"{lost} observations were lost"] if lost > 0 else []
        if watch._installed:
            watch._loops.covered_up  # noqa: B018  asks whether steps are still seen
        found += [f"loops of {name} are not seen: {reason}" for name, reason in dict(watch._loops.blind).items()]
        for name in ("threshold", "executor_wait"):
            theirs, wanted = getattr(watch.settings, name), getattr(self._terms, name)
            if theirs > wanted:
                found.append(f"the application's own watch has the {name} {theirs:g}, not {wanted:g}")
        return found


def latest_beginning(event: Event, began: float) -> float:
    """When it began at the latest: where that was not read on the loop's own thread, it may be off by some time."""
    evidence = getattr(event, "evidence", {})
    if evidence.get("exact") is False:
        return began + min(evidence.get("within_seconds") or 0.0, getattr(event, "duration", 0.0) / 2)
    return began


def mark_of(watch: Watch) -> _Mark:
    """The sums so far. From any thread; does not wait."""
    numbers = watch._numbers(offloads=False)
    states = list(watch._loops.states.values())
    beats = sum(getattr(state, "_answered", 0) for state in states)
    steps = sum(loop.steps + loop.turns for loop in numbers.loops)
    lost = numbers.events_dropped + getattr(watch._notices, "faults", 0) - watch._delivery.dropped
    return _Mark(steps + beats, lost, by_origin(watch._accounts.tallies()))


def settle(watch: Watch, border: float) -> bool:
    """Wait until all that began before ``border`` was told, ended or not; False where that took too long.

    What goes on in another thread is given the time to end, or to become a stall.
    """
    pause = threading.Event()
    deadline = border + 2 * watch.settings.threshold + _SLACK  # at most; it is told when there is nothing to wait for
    while watch._loops.restless(border) and clocks.monotonic() < deadline:
        pause.wait(0.001)
    sampler = watch._sampler
    usually, sampler.tell_from = sampler.tell_from, watch.settings.threshold
    try:
        complete = watch.flush(_PATIENCE)
        watch._pools.settle(clocks.monotonic())
        return complete
    finally:
        sampler.tell_from = usually
