"""When and in which thread a loop runs, and for how long it was active and idle."""

from __future__ import annotations

import threading
import weakref
from typing import Any, NamedTuple

from ... import _compat
from ..stopwatch.steps import NEVER, Stopwatch

_JUST_NOW = 0.001
"""A reading that was made so many seconds ago is as good as a new one."""
TRIES = 4
"""Readings of what another thread may be writing, until two are the same."""


class Reading(NamedTuple):
    """The clocks of a loop's thread, and the loop's active seconds, at one moment; None where not known."""

    at: float
    active: float
    cpu: float
    queued: float | None = None
    switches: int | None = None


class LoopClock(Stopwatch):
    """The stopwatch of one loop with its identity and its life. Written by the loop's thread, read by any.

    What lasts is counted as ``idle`` is: less the time at which it began, so that one slot tells all.
    """

    __slots__ = (
        "__weakref__",
        "_aside",
        "_paused",
        "_resumed",
        "_turned",
        "base",
        "ident",
        "loop",
        "name",
        "native",
        "ran",
        "run_started",
        "thread",
    )

    tells_of_steps = True
    """Whether each step is counted."""
    wakes_sampler = True
    """Whether the sampler is woken when the loop goes on after a poll."""
    depth: int | None = None
    """How many frames of its thread lie outside of the loop, where no frame of its own marks that."""

    def __init__(self, loop: Any) -> None:
        super().__init__()
        self.loop = weakref.ref(loop)
        self.name = self.thread = "main"
        self.ident = self.native = 0
        self.base: Reading | None = None
        """What its thread's clocks showed when it began to run."""
        self.ran = 0.0
        self.run_started = NEVER
        self._aside = 0.0
        self._paused = NEVER
        self._resumed = 0.0
        self._turned = 0.0

    # --- its life ---

    def begin(self, now: float, ident: int, thread: str, native: int) -> None:
        """The loop begins to run, in the thread given."""
        if self.ran < 0:  # it has stopped without a word
            self.end(self.last_seen())
        same = ident == self.ident and native == self.native
        self.ident, self.native, self.thread = ident, native, thread
        self.name = "main" if ident == threading.main_thread().ident else thread
        self.run_started = now
        self.begin_turn(now)
        self.ran -= now
        if not (same and self.base is not None and now - self.base.at < _JUST_NOW):
            self.note_base(now)

    def note_base(self, now: float) -> None:
        """Read the thread's clocks as the loop begins to run, by calls that open nothing and keep the interpreter."""
        if self.ident == threading.get_ident():
            cpu, switches = _compat.clocks.thread_cpu(), _compat.voluntary_switches()
        else:
            cpu, switches = _compat.ThreadClock(self.native).cpu(), None
        self.base = None if cpu is None else Reading(now, self.active(now), cpu, None, switches)

    def end(self, now: float) -> None:
        """The loop stopped, and nothing runs from here on."""
        self.end_turn(now)
        self.run_started = NEVER
        if self.idle < 0:  # it was left in the middle of its poll
            self.idle += now
        if self.ran < 0:
            self.ran += now

    def begin_turn(self, now: float) -> None:
        """From here on the loop is active."""
        self.quick_before = self.quick
        self.turn = now
        self.mark = now

    def end_turn(self, now: float) -> None:
        """The last turn of a run is over: it ended with its last step."""
        if self.turn < self.mark < NEVER:
            self.slow_turn(self.mark)
        self.mark = NEVER
        self.handle = None

    def begin_poll(self, now: float) -> bool:
        """The loop waits from here on. Where that is seen by ``make_select``, it does the same by itself."""
        self.turn = now
        self.idle -= now
        self.mark = NEVER
        return False

    def end_poll(self, now: float) -> None:
        """The loop goes on. Likewise."""
        self.idle += now
        self.begin_turn(now)

    def pause(self, now: float) -> None:
        """Another loop begins to run inside this one's step: until ``resume`` its time is not this step's."""
        self._paused = now - self.mark  # negative without bound where no step runs, as inside the poll
        self._turned = now - self.turn
        if self._paused >= 0:
            self.mark = NEVER
            self._aside -= now

    def resume(self, now: float) -> None:
        """The inner loop ended."""
        if self._paused >= 0:
            self._resumed = now
            self._aside += now
            self.turn = now - self._turned
            self.mark = now - self._paused

    # --- for the sampler ---

    def refresh(self) -> None:
        """See what goes on, where the loop's own thread does not write that down."""

    def glance(self) -> None:
        """The same, between two looks at all that there is to see."""

    def gauge(self) -> Any:
        """What tells by next to nothing whether it has waited ever since the last glance; None where nothing does."""
        return None

    def at_rest(self, since: float) -> bool:
        """Whether it waits and has done nothing since then."""
        return self.mark == NEVER and self.last_seen() <= since

    def marks(self) -> tuple[float, float]:
        """When what goes on began: the step, ``NEVER`` while it waits, and the turn."""
        return self.mark, self.turn

    def seconds_timed(self) -> float:
        """The seconds of all steps, where they do not tile the time in which the loop is active."""
        return 0.0

    def times_exactly(self, mark: float) -> bool:
        """Whether the loop's own thread has read the clock for what began at ``mark`` and goes on."""
        return self.tells_of_steps

    def holds(self, mark: float) -> bool:
        """Whether what began at ``mark`` still goes on."""
        return self.mark == mark

    # --- its numbers, for any thread ---

    def age(self, now: float) -> float:
        """For how long its turn has lasted, as far as it was the loop's own doing; 0 while it waits."""
        turn, mark = self.turn, self.mark
        if mark != NEVER:
            return max(0.0, now - min(turn, mark))
        return self._turned if self._aside < 0 else 0.0

    @property
    def away(self) -> float:
        """Seconds spent in loops that were run inside steps of this one, not counting one that still runs."""
        aside = self._aside
        return aside if aside >= 0 else aside + self.turn + self._turned

    def active(self, now: float) -> float:
        """Seconds of activity so far."""
        return self.times(now)[0]

    def idle_now(self, now: float) -> float:
        """Seconds in the poll so far, with the poll that is under way."""
        return self.times(now)[1]

    def times(self, now: float) -> tuple[float, float]:
        """Active and idle seconds so far. They never go back, also when ``now`` was read some time ago."""
        for _ in range(TRIES):
            ran, idle, aside, turn, resumed = self.ran, self.idle, self._aside, self.turn, self._resumed
            if (ran, idle, aside) == (self.ran, self.idle, self._aside):
                break
        if ran < 0:
            now = max(now, turn, resumed) if now != NEVER and self.running() else self.last_seen()
        idle = so_far(idle, now)
        return max(0.0, so_far(ran, now) - idle - so_far(aside, now)), idle

    def last_seen(self) -> float:
        """The last moment at which the loop is known to have run."""
        mark, turn = self.mark, self.turn
        return turn if mark == NEVER else mark if turn == NEVER else max(mark, turn)

    def is_gone(self) -> bool:
        """Whether the loop will never run again."""
        loop = self.loop()
        return loop is None or bool(loop.is_closed())

    def running(self) -> bool:
        """Whether the loop runs at all (a loop that stopped unseen leaves its last mark behind)."""
        loop = self.loop()
        return loop is not None and bool(loop.is_running())


def so_far(counted: float, now: float) -> float:
    """What was counted, with what lasts as of ``now``."""
    return counted if counted >= 0 else max(0.0, counted + now)
