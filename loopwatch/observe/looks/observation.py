"""What was seen of one loop, and what its thread's clocks showed before."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from ... import _compat
from ...facts import Sample, SpanFacts
from ..loops.loop_clock import Reading
from ..loops.loop_state import SAME, Held, LoopState
from ..stopwatch.steps import NEVER
from .host import new_id

_Dated = TypeVar("_Dated", bound=tuple[Any, ...])
_LOOKS = 256
_TALES = 64
_READINGS = 4
_KEPT = 1.0
_AT_ONCE = 0.001
_ENOUGH = 0.25
_STALE, _IDLE = 0.1, 0.002
"""A reading serves for so many seconds, while the loop is active for less than so many of them."""
_OFF, _LITTLE = 0.001, 0.02
"""The files are read again where the thread was off the CPU for so many seconds, or queued for such a part of them."""


class Look(NamedTuple):
    """A sample, and what the thread's clocks showed then; None where the step had ended meanwhile.

    ``ready``: how many callbacks waited behind the step; ``span``: what was current in it.
    """

    sample: Sample
    reading: Reading | None
    ready: int = 0
    span: SpanFacts | None = None


class Load(NamedTuple):
    """What an overrun did with its time; None where the platform does not tell.

    ``off_unseen``: neither on a CPU nor ready for one before the first look; None where no reading was made before it.
    """

    cpu: float | None
    queued: float | None
    wakes: float | None
    off_unseen: float | None = None


class Tale:
    """A stall that is told of while it lasts: its id, and the age from which it is told again.

    ``put_off`` is set while telling it waits for one more look: where the sampler could not look for
    long, what it finds may be over in a moment.
    """

    __slots__ = ("began", "due", "id", "kind", "put_off")

    def __init__(self, kind: str, began: float, due: float) -> None:
        self.kind = kind
        self.began = began
        self.due = due
        self.put_off = False
        self.id = new_id()


class Observation:
    """One loop's present turn, and what was seen of it and shortly before. For the sampler's thread only.

    ``keep``: whether the files in which the kernel tells of its thread may stay open.
    """

    __slots__ = ("_at_ease", "_away", "_cpu", "_ends", "_looks", "_noted", "_readings", "_tales", "_thread", "_whole",
                 "between", "keep", "next_at", "turn")  # fmt: skip

    def __init__(self, keep: bool = True) -> None:
        self.turn = NEVER
        self.next_at = 0.0
        self.between = NEVER
        """The mark under which the thread was seen outside of any step."""
        self._readings: deque[Reading] = deque(maxlen=_READINGS)
        self._ends: deque[Reading] = deque(maxlen=_READINGS)
        self.keep = keep
        self._thread = _compat.ThreadClock(0)
        self._cpu = 0.0
        self._noted = NEVER
        self._whole: Reading | None = None
        """The last that was read while the loop was not held, with the files."""
        self._at_ease = False
        self._away = 0.0
        self._looks: list[Look] = []
        self._tales: list[Tale] = []

    # --- taking ---

    def follow(self, turn: float, away: float) -> None:
        """Keep to the loop's present turn. ``away`` is the time it has spent in nested loops."""
        if away != self._away:
            self._shift(away - self._away)
            self._away = away
        if abs(turn - self.turn) > SAME:
            self.turn, self.next_at = turn, 0.0

    def _shift(self, passed: float) -> None:
        """A nested loop has run: the marks of the step that ran it were moved by as much."""
        for index, look in enumerate(self._looks):
            if (sample := look.sample).at >= self.turn:
                moved = sample._replace(at=sample.at + passed, step=sample.step + passed)
                self._looks[index] = look._replace(sample=moved)
        for tale in self._tales:
            if tale.began >= self.turn - SAME:
                tale.began += passed
        self.turn += passed

    def add(
        self, sample: Sample, reading: Reading | None, ready: int = 0, span: SpanFacts | None = None
    ) -> None:  # fmt: skip
        self._looks.append(Look(sample, reading, ready, span))
        if len(self._looks) > _LOOKS:  # thin out the older half
            del self._looks[1 : _LOOKS // 2 : 2]

    def note(self, state: LoopState, clock: Callable[[], float]) -> None:
        """Read the thread's clocks if the loop has done something since; while it is not held."""
        if self._thread.native != state.native:
            self._follow_thread(state.native)
        last = self._readings[-1] if self._readings else None
        now = clock()
        active = state.active(now)
        if last is not None and now - last.at < _STALE and active - last.active < _IDLE:
            return
        if self._noted == self.turn:  # of a long turn its beginning is wanted, not its middle
            return
        self._noted = self.turn
        reading = self._as_before(now, active)
        if reading is None:
            reading = self.read(state, clock)
            if reading is not None:
                self._at_ease = self._has_cpu(reading)
                self._whole = reading
        if reading is not None:
            self._readings.append(reading)

    def _as_before(self, now: float, active: float) -> Reading | None:
        """A reading without the files; None where these are wanted, because it may be that the host is busy."""
        whole = self._whole
        if whole is None or not self._at_ease or now - whole.at >= _STALE:
            return None
        cpu = self._thread.cpu()
        if cpu is None or cpu < whole.cpu or active - whole.active - (cpu - whole.cpu) >= _OFF:
            return None
        return Reading(now, active, cpu, whole.queued)

    def _has_cpu(self, reading: Reading) -> bool:
        """Whether the thread has got a CPU, since the files were last read, whenever it wanted one."""
        whole = self._whole
        if whole is None or whole.queued is None or reading.queued is None:
            return False
        return reading.queued - whole.queued < _LITTLE * (reading.at - whole.at)

    def read(self, state: LoopState, clock: Callable[[], float]) -> Reading | None:
        """What the clocks of the loop's thread show; None where they cannot be read."""
        if self._thread.native != state.native:
            self._follow_thread(state.native)
        now = clock()
        cpu = self._thread.cpu()
        if cpu is None:
            return None
        if cpu < self._cpu:  # the thread has ended, and this one has got its number
            self._follow_thread(state.native)
        self._cpu = cpu
        active = state.active(now)
        queued = self._thread.queued()
        # Others may have taken the interpreter while that was read, and then what comes has another date.
        count = self._thread.switches() if clock() - now < _AT_ONCE else None
        return Reading(now, active, cpu, queued, count)

    def _follow_thread(self, native: int) -> None:
        """The loop runs in another thread, of which the readings say nothing."""
        self._thread.close()
        self._thread = _compat.ThreadClock(native, self.keep)
        self._cpu = 0.0
        self._readings.clear()
        self._ends.clear()
        self._whole = None

    def close(self) -> None:
        """Let go of what is open."""
        self._thread.close()

    def note_end(self, reading: Reading) -> None:
        """What was read at the end of something that held the loop is a beginning for what comes next."""
        self._ends.append(reading)

    def readings(self, held: Held) -> list[Reading]:
        """What is known of the thread's clocks, in the order of time, with what the loop read when it began to run."""
        looked = (look.reading for look in self._looks if look.reading is not None)
        found = [*self._readings, *self._ends, *looked] if self._thread.native == held.state.native else []
        if held.base is not None:
            found.append(held.base)
        return sorted(found, key=lambda reading: reading.at)

    # --- telling ---

    @property
    def last(self) -> Sample | None:
        """The latest sample of the present turn."""
        sample = self._looks[-1].sample if self._looks else None
        return sample if sample is not None and sample.at >= self.turn else None

    def looks_of(self, held: Held) -> list[Look]:
        """What was seen of one step, or of the steps of one turn."""
        if held.kind == "step" and held.within is None:
            return [look for look in self._looks if abs(look.sample.step - held.started) <= SAME]
        return [look for look in self._looks if held.started <= look.sample.at <= held.ended]

    def tale(self, kind: str, began: float, due: float) -> Tale:
        """The tale of a stall of the present turn, begun when there is none."""
        for tale in self._tales:
            if tale.kind == kind and abs(tale.began - began) <= SAME:
                return tale
        self._tales = [*self._tales[1 - _TALES :], Tale(kind, began, due)]
        return self._tales[-1]

    def id_of(self, held: Held) -> str:
        """The id of a stall that has ended: the one under which it was told, or a new one."""
        for tale in self._tales:
            # Of the steps of a turn it is known only at the end which were stalls of their own.
            if tale.kind == held.kind and (held.kind == "turn" or abs(tale.began - held.started) <= SAME):
                self._tales.remove(tale)
                return tale.id
        return new_id()

    def forget(self, now: float) -> None:
        """Drop what ended so long ago that it was told. (What ends is told a little after the turn is over.)"""
        since = min(self.turn, now - _KEPT) - SAME
        if self._looks and self._looks[0].sample.at < since:
            self._looks = [look for look in self._looks if look.sample.at >= since]
        if self._tales and self._tales[0].began < since:
            self._tales = [tale for tale in self._tales if tale.began >= since]


def end_of(held: Held) -> Reading | None:
    """What the loop's thread read itself when the overrun ended; None while it lasts."""
    if held.cpu is None:
        return None
    return Reading(held.ended, held.active + held.ended - held.started, held.cpu, None, held.switches)


def seen_ready(held: Held, looks: Sequence[Look]) -> int:
    """How many callbacks were seen to wait, beyond those that ran after it in its turn, which did for certain.

    What became ready after the last look is in neither: a step may have made it ready just before its own end.
    """
    return max(0, looks[-1].ready - held.behind) if looks else 0


def seen_span(held: Held, looks: Sequence[Look]) -> SpanFacts | None:
    """What was current in most of the looks; at the end of it, where none shows any: by then it may be another.

    A turn of many steps has one where all looks show the same.
    """
    shown = Counter(look.span.span_id if look.span is not None else "" for look in looks)
    if not any(shown) or (held.kind == "turn" and len(shown) > 1):
        return held.span
    most = next(span_id for span_id, _ in shown.most_common() if span_id)
    return next(look.span for look in looks if look.span is not None and look.span.span_id == most)


def load(held: Held, readings: Sequence[Reading], now: Reading | None, looks: Sequence[Look] = ()) -> Load:
    """What an overrun did with its time, from the thread's clocks before it, in it and after it.

    ``looks`` are those at the overrun.
    """
    known = [*readings, now] if now is not None else readings
    if (end := end_of(held)) is not None:
        known = [*known, end]
    return Load(
        _cpu(held, readings, now),
        _within(_queued(held, known), _queued_at_most(held, looks)),
        _wakes(held, [(each.at, each.switches) for each in known]),
        _off_unseen(held, readings, now, looks),
    )


def _off_unseen(held: Held, readings: Sequence[Reading], now: Reading | None, looks: Sequence[Look]) -> float | None:
    """For how long the thread had no CPU, and was in no queue for one, before it was first looked at."""
    base = _latest_before(held.started, readings)
    if base is None or base.at > held.started:
        return None
    first = next((look.reading for look in looks if look.reading is not None), None)
    if first is not None and held.started < first.at < held.ended:
        held, now = held._replace(ended=first.at, cpu=first.cpu), first
    known = [*readings, now] if now is not None else readings
    cpu = _cpu(held, readings, now)
    return None if cpu is None else max(0.0, held.ended - held.started - cpu - (_queued(held, known) or 0.0))


def _queued(held: Held, readings: Sequence[Reading]) -> float | None:
    """For how long the thread was ready for a CPU: as it is elsewhere while its loop is active, and not in its poll."""
    known = [each for each in readings if each.queued is not None]
    counted = _increase(held, [(each.at, each.queued) for each in known])
    if counted is None:
        return None
    first, last = _ends(held, known)
    inside = min(held.ended, last.at) - max(held.started, first.at)
    passed = last.at - first.at
    return counted * passed / max(inside, min(passed, last.active - first.active))


def _queued_at_most(held: Held, looks: Sequence[Look]) -> float:
    """For how long the thread can have been ready for a CPU, as it was seen to wait for something else.

    The kernel adds what a thread has been ready for when it gets its CPU: what is read before that tells of all
    that time later, when it belongs to no overrun, or to another. Of a thread that waits nothing is outstanding.
    """
    asleep = [
        (look.sample.at, look.reading.at, look.reading.queued)
        for look in looks
        if look.reading is not None
        and look.reading.queued is not None
        and look.sample.activity not in (None, "running")
        and held.started <= look.sample.at
        and look.reading.at <= held.ended
    ]
    if not asleep:
        return held.ended - held.started
    (_, first, before), (last, _, after) = asleep[0], asleep[-1]
    # It may have woken between the look and the reading: what is read counts from the former, and up to the latter.
    return min(held.ended - held.started, first - held.started + max(0.0, after - before) + held.ended - last)


def _cpu(held: Held, readings: Sequence[Reading], now: Reading | None) -> float | None:
    duration = held.ended - held.started
    base = _latest_before(held.started, readings)
    end = held.cpu if held.cpu is not None else (now.cpu if now is not None else None)
    if base is None or end is None or held.ended <= base.at:
        return None
    spent = end - base.cpu
    if base.at <= held.started:
        spent -= max(0.0, held.active - base.active)
    else:  # the first part was not seen
        spent *= duration / (held.ended - base.at)
    return _within(spent, duration)


def _within(seconds: float | None, most: float) -> float | None:
    return None if seconds is None else min(most, max(0.0, seconds))


def _latest_before(moment: float, readings: Sequence[Reading]) -> Reading | None:
    """The latest reading that is not after the moment, or the first of all."""
    earlier = (reading for reading in reversed(readings) if reading.at <= moment)
    return next(earlier, readings[0] if readings else None)


def _wakes(held: Held, counted: Sequence[tuple[float, float | None]]) -> float | None:
    """How often the thread gave up the CPU by itself; counted within the overrun where that can be.

    A loop does it at each poll, so what lies before and after it would count too much.
    """
    inside = [each for each in counted if held.started <= each[0] <= held.ended]
    within = _increase(held, inside, _ENOUGH)
    return within if within is not None else _increase(held, counted)


def _increase(held: Held, counted: Sequence[tuple[float, float | None]], least: float = 2 * _ENOUGH) -> float | None:
    """By how much a counter of the thread went up during the overrun, from its values at some moments.

    Counted between the moments that are nearest to its beginning and its end, and in proportion where
    these are not the same; None where they span less than its ``least`` part.
    """
    known = [(at, value) for at, value in counted if value is not None]
    if not known:
        return None
    duration = held.ended - held.started
    first, last = _ends(held, known)
    passed = last[0] - first[0]
    if passed <= 0 or passed < least * duration:
        return None
    return (last[1] - first[1]) * duration / passed


def _ends(held: Held, dated: Sequence[_Dated]) -> tuple[_Dated, _Dated]:
    """Those that are nearest to the beginning and to the end of an overrun; each has its moment in front."""
    first = min(dated, key=lambda each: abs(each[0] - held.started))
    return first, min(dated, key=lambda each: abs(each[0] - held.ended))
