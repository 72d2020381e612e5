"""The watchdog thread: looks at steps that overrun and at workers, and hands on what was observed.

A loop that has been held for ``threshold / 2`` has its stack copied, each ``threshold / 4`` at first. As long as
none is, the sampler rests until the oldest turn is three quarters of a threshold old, and half a threshold at
most: so whatever begins after a look is seen before it is a stall, and where the interpreter or the whole process
is held up for a threshold, the sampler comes half of that too late, which tells. When every loop waits in its poll
and no pool is in need, it sleeps until it is woken.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from ... import _compat
from ...facts import HandleFacts, Overrun, Sample
from ..loops.asyncio_loop import AsyncioHook
from ..loops.loop_state import SAME, Held, Looked, LoopState
from ..stopwatch.steps import NEVER
from .alarm import NOTABLE, SHORTEST, Alarm, Lateness, paced
from .host import GcHook, Span
from .observation import Observation, end_of
from .overruns import Overruns, held_by_many
from .pools import PoolWatch
from .present import given_of, handle_of, ready_of, stack_of, task_of, waiting_of
from .quiet import Quiet

clocks = _compat.clocks
_ASLEEP = 5.0
_CHORES_EVERY = 0.25
_KEPT_OPEN = 64
"""Of so many loops the files that tell of their threads stay open; of others they are opened for each reading."""
_TELL_FROM = 10
"""A stall that goes on is told of at this many thresholds, and at each doubling."""


class Sampler:
    """Looks, on its own daemon thread, until stopped. ``on_overrun`` and ``drain`` are called on that thread.

    ``clock`` must be the one that the hooks of ``loops`` read.
    """

    def __init__(
        self,
        threshold: float,
        loops: AsyncioHook,
        pools: PoolWatch,
        collector: GcHook,
        alarm: Alarm,
        held: deque[Held],
        on_overrun: Callable[[Overrun], None],
        drain: Callable[[], None],
        on_fault: Callable[[BaseException], None],
        clock: Callable[[], float] = clocks.monotonic,
    ) -> None:
        self.threshold = threshold
        self.period = paced(threshold)
        self.pool_period = paced(pools.executor_wait)
        self.loops = loops
        self.pools = pools
        self.alarm = alarm
        self.held = held
        self.on_overrun = on_overrun
        self.drain = drain
        self.on_fault = alarm.on_fault = on_fault
        self.clock = clock
        self.seconds = 0.0
        self._overruns = Overruns(threshold, collector, clock)
        self.standstills = self._overruns.standstills
        self._blind = self._overruns.blind
        self._seen = self._overruns.seen
        self._quiet = Quiet(loops.states, self._sleeps_until, on_fault)
        self._lateness: Lateness | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._due = self._chores_at = 0.0
        self._pools_busy = False
        self._woken = False
        """It was woken, and has not looked since."""
        self._oldest = 0.0
        """The age of the oldest turn that was under way at the last look."""
        self._ticks = 0
        self._spent = 0.0
        self.tell_from = _TELL_FROM * threshold
        """The age in seconds from which a stall is told of while it lasts."""

    # --- the thread ---

    def start(self) -> None:
        self._stopping = False
        thread = threading.Thread(target=self._run, name="loopwatch-sampler", daemon=True)
        thread.start()
        self._thread = thread

    def stop(self, timeout: float = 2.0) -> None:
        """End the thread, and wait for it. Where waiting is refused it ends all the same; a second call waits again."""
        self._stopping = True
        thread = self._thread
        self.alarm.start = None
        self.alarm.wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        self._thread = None
        self._close_files()

    def _run(self) -> None:
        lateness = self._lateness = Lateness(self.standstills)
        pause, calm = 0.0, False
        try:
            while not self._stopping:
                pause = pause if calm else self._plan()
                resting, calm = calm or self.alarm.asleep, False
                late = lateness.rest(self.alarm, pause, self._quiet if resting else None)
                began = lateness.until
                if resting:
                    self.alarm.asleep = False
                    if lateness.woken and late < NOTABLE:  # nothing can be old yet
                        self._get_up(began)
                        continue
                    if calm := self._sleeps_on(late, began):
                        continue
                self.tick(late)
                self.seconds = clocks.thread_cpu() or 0.0
                if (waited := lateness.since(began, self._kept_waiting(began, self.seconds))) >= NOTABLE:
                    self._blind.append(Span(began, began + waited))
                lateness.note(began)
                self._ticks += 1
        finally:
            lateness.close()

    def _get_up(self, now: float) -> None:
        self._woken, self._oldest = True, 0.0
        self._due = now + self._rest()
        if now >= self._chores_at:  # what was imported meanwhile is about to be used
            self._guarded(self.drain)

    def _plan(self) -> float:
        """How long to rest."""
        if not (self._woken or self._oldest) and self._guarded(self._calm):
            self.alarm.asleep = True
            if self._guarded(self._calm):
                return self._guarded(self._sleep) or SHORTEST
            self.alarm.asleep = False  # someone became busy before the flag was up
        # Also after a look that took long others get their turn.
        return max(SHORTEST, min(self.period, self.pool_period) / 2, self._due - self.clock())

    def _sleep(self) -> float:
        """How long to rest where nothing goes on: of some loops a glance must tell when that is over."""
        wakes = all(state.wakes_sampler or not state.running() for state in list(self.loops.states.values()))
        return _ASLEEP if wakes else min(self.threshold, _ASLEEP)

    def _sleeps_until(self) -> float:
        return 0.0 if self._stopping else self._due + _ASLEEP

    def _sleeps_on(self, late: float, now: float) -> bool:
        return late < NOTABLE and now < self._sleeps_until() and bool(self._guarded(self._still_calm))

    def _still_calm(self) -> bool:
        """Glance at the loops that wake nobody, where there are any."""
        quiet = self._quiet.all()
        for state in quiet:
            state.glance()
        self.alarm.asleep = True
        calm = bool(quiet) and self._calm()
        self.alarm.asleep = self.alarm.asleep and calm
        return calm

    def _rest(self) -> float:
        """How long it may be from one look to the next."""
        rest = min(2 * self.period, max(self.period, 0.75 * self.threshold - self._oldest))
        return min(rest, self.pool_period * (1 if self._pools_busy else 2))

    def look_now(self, timeout: float) -> bool:
        """Wait until all that has ended by now was looked at and handed on; False where that took too long."""
        if self._thread is None or self._thread is threading.current_thread():
            return True
        deadline = clocks.monotonic() + timeout
        wanted = self._ticks + 2  # one look may be under way
        pause = threading.Event()
        while self._ticks < wanted:
            if clocks.monotonic() >= deadline:
                return False
            self.alarm.wake()
            pause.wait(0.001)
        return True

    def before_fork(self) -> None:
        """In the thread that forks, with ``forks`` told."""
        self._quiet.before_fork()

    def after_fork(self) -> None:
        """In the child there is no thread, and nothing was seen yet."""
        self._thread = None
        self._quiet.after_fork()
        self._close_files()
        self._seen.clear()
        self._blind.clear()
        self.standstills.clear()
        self.held.clear()
        self.seconds = 0.0

    def _close_files(self) -> None:
        """What is read once more is opened once more."""
        for seen in list(self._seen.values()):
            seen.close()
        if self._lateness is not None:
            self._lateness.close()

    # --- one look ---

    def tick(self, late: float = 0.0) -> None:
        """Look at every loop and pool once, and hand on what has ended. Never raises.

        ``late`` is for how long the interpreter kept the sampler waiting before.
        """
        now, self._spent = self.clock(), clocks.thread_cpu() or 0.0
        self._woken = False
        if late >= NOTABLE:
            self._blind.append(Span(now - late, now))
        states = list(self.loops.states.values())
        gone = []
        self._oldest = 0.0
        for state in states:  # first of all, while what is seen is fresh
            age = self._guarded(self._look, state, now, late)
            if age is None and self._guarded(state.is_gone):
                gone.append(state)
            self._oldest = max(self._oldest, age or 0.0)
        self._guarded(self._collect, now)
        self._look_at_pools(now)
        for state in gone:  # not before what it had left was collected
            self._guarded(self.loops.retire, state)
        if len(self._seen) > len(states) - len(gone):
            self._guarded(self._forget)
        self._due = now + self._rest()

    def _look_at_pools(self, now: float) -> None:
        """Where nothing is in a hurry, now and then will do."""
        before, self._pools_busy = self._pools_busy, bool(self._guarded(self.pools.busy))
        if before or self._pools_busy or now >= self._chores_at:
            self._chores_at = now + _CHORES_EVERY
            self._guarded(self.drain)
            self._guarded(self.pools.look, now)

    def _forget(self) -> None:
        """Loops that are not watched any more."""
        for state in [state for state in self._seen if id(state) not in self.loops.states]:
            self._seen.pop(state).close()

    def _guarded(self, part: Callable[..., Any], *args: Any) -> Any:
        """One part of a look; where it fails the others go on."""
        try:
            return part(*args)
        except Exception as error:
            self.on_fault(error)
            return None

    def _kept_waiting(self, since: float, spent: float) -> float:
        """For how long others have kept the sampler waiting since its tick began; by then it has computed so long."""
        return max(0.0, self.clock() - since - (spent - self._spent))

    def _calm(self) -> bool:
        """Whether nothing goes on, nor has for a while: to be woken often would cost more than to look."""
        since = self.clock() - 2 * self.period
        # Where polls cannot be seen, nothing would wake us: such a loop is never calm while it runs.
        calm = not self.held and all(
            (state.at_rest(since) and (type(state) is LoopState or state.polls_seen)) or not state.running()
            for state in list(self.loops.states.values())
        )
        return calm and not self.pools.busy()

    def _look(self, state: LoopState, now: float, late: float) -> float | None:
        """The age of the loop's turn; None where it does not run."""
        seen = self._seen.get(state)
        known = seen is not None
        if seen is None:
            seen = self._seen[state] = Observation(keep=len(self._seen) < _KEPT_OPEN)
        state.refresh()
        mark, turn = state.marks()
        seen.follow(turn, state.away)
        if not state.running():
            return None
        if mark == NEVER or now - min(turn, mark) < self.threshold / 2:
            if known or mark != NEVER:  # a loop that is over soon is worth no file
                seen.note(state, self.clock)
            return state.age(now)
        last = seen.last
        young = now - mark < self.threshold / 2  # looked at for the sake of its turn
        age = now - (turn if young else mark)
        seen_old = last is not None and last.step == mark and last.at - mark >= self.threshold / 2
        if (now >= seen.next_at or not (young or seen_old)) and self._sample(seen, state, mark, now, late):
            seen.next_at = now + (0.0 if age < 2 * self.threshold else min(1.0, age / 10))
            self._look_again(seen, state, mark, now, late)
        self._tell_in_progress(state, seen, mark, now, late)
        return age

    def _look_again(self, seen: Observation, state: LoopState, mark: float, now: float, late: float) -> None:
        """Look once more where the interpreter was held while the kernel was asked: until the next look it may be over.

        The sampler has only just got the interpreter, so its thread stands where the other has given it up.
        """
        waited = late + self._kept_waiting(now, clocks.thread_cpu() or 0.0)
        if (first := seen.last) is not None and waited - first.late >= NOTABLE:
            self._sample(seen, state, mark, self.clock(), waited - first.late)

    def _sample(self, seen: Observation, state: LoopState, mark: float, now: float, late: float) -> bool:
        there, frames, importing = stack_of(state)
        late += self._kept_waiting(now, clocks.thread_cpu() or 0.0)
        task, coroutine = task_of(state)
        ready = ready_of(state)
        span = state.outlets.tracing.of_step(state)
        if not state.holds(mark):
            return False
        if frames is None:
            seen.between = mark if there else seen.between
            return False
        activity = _compat.kernel_activity(state.native)
        reading = seen.read(state, self.clock)
        if not state.holds(mark):  # that was seen of what came after it
            activity, reading = None, None
        if state.outlets.tracing.tracer is not None:
            state.looked = Looked(mark, span, ready or given_of(state))
        seen.add(Sample(now, mark, late, frames, task, coroutine, importing, activity), reading, ready, span)
        return True

    # --- telling ---

    def _tell_in_progress(self, state: LoopState, seen: Observation, mark: float, now: float, late: float) -> None:
        first = self.tell_from
        held = now - mark if now - mark >= self.threshold else 0.0
        many = held_by_many(state, seen.turn, now, held)
        for kind, age in (("step", held), ("turn", many)):
            if age < first or seen.last is None:
                continue
            tale = seen.tale(kind, mark if kind == "step" else seen.turn, first)
            if age < tale.due:
                continue
            if late >= NOTABLE and not tale.put_off:
                tale.put_off = True
                continue
            tale.put_off = False
            exact = state.times_exactly(mark)
            facts = handle_of(state) if kind == "step" else HandleFacts("many callbacks")
            over = not state.holds(mark) if kind == "step" else abs(state.turn - seen.turn) > SAME
            if over or facts is None:
                continue
            while tale.due <= age:
                tale.due = max(2 * tale.due, _TELL_FROM * self.threshold)
            active = state.active(now) - age
            turn = now - seen.turn
            overrun = Held(state, kind, now - age, now, facts, waiting_of(state), 1, turn, (), None, active, state.base)
            overrun = overrun._replace(within=None if exact else self.period)
            self.on_overrun(self._overruns.of(overrun, tale.id))

    def _collect(self, now: float) -> None:
        while self.held:
            self._guarded(self._tell, self.held.popleft())
        for seen in self._seen.values():
            seen.forget(now)

    def _tell(self, held: Held) -> None:
        overrun = self._overruns.of(held)
        seen = self._seen.get(held.state)
        if seen is not None and (end := end_of(held)) is not None:
            seen.note_end(end)
        self.on_overrun(overrun)

    def stalled(self, state: LoopState, now: float) -> float:
        """Age of the stall in progress, 0 when there is none."""
        if not state.running():
            return 0.0
        mark, turn = state.mark, state.turn
        step = 0.0 if mark == NEVER else now - mark
        held = step if step >= self.threshold else 0.0
        many = 0.0 if mark == NEVER else held_by_many(state, min(turn, mark), now, held)
        return max(held, many if many >= self.threshold else 0.0)


__all__ = ["Alarm", "Sampler"]
