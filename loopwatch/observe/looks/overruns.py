"""From a hold as it was written down, and what the sampler saw meanwhile, to the facts of one overrun."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ... import _compat
from ...facts import Overrun, Sample
from ..loops.entry_state import EntryState
from ..loops.loop_state import Held, LoopState
from ..loops.seen_steps import UNSEEN, seen_steps
from .alarm import NOTABLE
from .host import GcHook, Span, overlap
from .observation import Look, Observation, load, seen_ready, seen_span

clocks = _compat.clocks


class Overruns:
    """What is known of all loops besides their own clocks; on the sampler's thread only.

    ``seen`` are the looks at each loop, ``standstills`` when the whole process stood still, and ``blind`` when
    the sampler was kept from looking.
    """

    def __init__(self, threshold: float, collector: GcHook, clock: Callable[[], float]) -> None:
        self.seen: dict[LoopState, Observation] = {}
        self.standstills: deque[Span] = deque(maxlen=32)
        self.blind: deque[Span] = deque(maxlen=32)
        self._threshold = threshold
        self._collector = collector
        self._clock = clock

    def of(self, held: Held, told_as: str | None = None) -> Overrun:
        """The facts of a stall that has ended, or, under the id given, of one that goes on."""
        state = held.state
        known = self.seen.get(state)
        seen = known or Observation()
        now = self._clock()
        looks = seen.looks_of(held)
        samples = self._samples(held, looks)
        told = state.tells_of_steps or held.within is None or held.handle is not UNSEEN
        handle, steps = (held.handle, held.steps) if told else seen_steps(samples)
        kind = held.kind if told or steps == 1 else "turn"
        after = known.read(state, self._clock) if known is not None else None
        spent = load(held, seen.readings(held), after, looks)
        self._collector.settle(held.ended)
        collected, collection = overlap(self._collector.pauses, held.started, held.ended)
        stood, _ = overlap(self.standstills, held.started, held.ended)
        return Overrun(
            id=told_as or seen.id_of(held),
            kind="step" if kind == "step" else "turn",
            loop=state.name,
            thread=state.thread,
            started=held.started,
            ended=held.ended if told_as is None else None,
            seen=held.ended,
            started_at=clocks.wall() - (now - held.started),
            handle=handle,
            samples=samples,
            delayed=held.delayed + (seen_ready(held, looks) if told_as is None else 0),
            steps=steps,
            turn_seconds=held.turn_seconds,
            contributors=held.contributors,
            cpu_seconds=spent.cpu,
            queued_seconds=spent.queued,
            off_unseen=spent.off_unseen,
            gc_seconds=collected,
            gc_generation=collection.generation if collection is not None else None,
            gc_frames=collection.frames if collection is not None else (),
            gc_elsewhere=collection is not None and collection.ident != state.ident,
            suspended_seconds=stood,
            threshold=self._threshold,
            between=held.kind == "step" and seen.between == held.started,
            wakes=spent.wakes,
            within=held.within,
            traced=stood > 0 and _compat.traced_from_outside(),
            span=held.span if held.victims is not None else seen_span(held, looks),
            traced_stall=held.victims.stall if held.victims is not None else None,
        )

    def _samples(self, held: Held, looks: list[Look]) -> tuple[Sample, ...]:
        """What was seen, and, where the sampler came too late for the rest, a sample that shows nothing."""
        samples = [look.sample for look in looks]
        since = samples[-1].at if samples else held.started
        missed, _ = overlap(self.blind, since, held.ended)
        if missed >= NOTABLE:
            samples.append(Sample(held.ended, held.started, missed, ()))
        return tuple(samples)


def held_by_many(state: LoopState, began: float, now: float, held: float) -> float:
    """For how long a turn has been held by short steps together, of which the last may hold it for ``held`` seconds.

    Where polls cannot be seen the beginning of a turn moves, which makes it no name for a tale.
    """
    told = None if type(state) is EntryState else state.told_as_steps(began, now)
    return 0.0 if told is None else now - began - told - held


__all__ = ["Overruns", "held_by_many"]
