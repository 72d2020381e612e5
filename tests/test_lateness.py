"""How the sampler is woken, and what it makes of coming late."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.observe.looks.alarm import NOTABLE, Alarm, Lateness
from loopwatch.observe.looks.host import Span
from tests.stage import THRESHOLD, Stage

# --- lateness ----------------------------------------------------------------------------------


def test_a_sample_says_how_late_it_was(stage: Stage) -> None:
    """The interpreter was held by another thread before it could be taken."""
    stage.begin_step()
    stage.clock.advance(3 * THRESHOLD)
    stage.sampler.tick(late=2 * THRESHOLD)
    assert stage.end_step().samples[0].late == pytest.approx(2 * THRESHOLD)


def test_a_look_that_was_held_up_itself_is_late_too(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may take the interpreter between the beginning of a look and the copy of the stack."""
    real = _compat.stacks

    def stacks() -> Any:
        stage.clock.advance(THRESHOLD)
        return real()

    stage.begin_step()
    stage.clock.advance(THRESHOLD)
    monkeypatch.setattr(_compat, "stacks", stacks)
    stage.sampler.tick(late=0.001)
    monkeypatch.undo()
    assert stage.end_step().samples[0].late == pytest.approx(THRESHOLD, abs=0.01)


@pytest.mark.parametrize(("late", "samples"), [(NOTABLE - 0.001, 0), (NOTABLE + 0.001, 1), (2 * THRESHOLD, 1)])
def test_a_step_that_ended_before_a_late_look_has_a_sample_that_shows_nothing(
    stage: Stage, late: float, samples: int
) -> None:
    """So that it is known that nothing could be seen, and for how long."""
    stage.begin_step()
    stage.clock.advance(3 * THRESHOLD)
    stage.held.append(stage.fact("step", stage.state.mark))
    stage.begin_turn()
    stage.sampler.tick(late=late)
    (told,) = stage.overruns
    assert [sample.frames for sample in told.samples] == [()] * samples
    assert [sample.late for sample in told.samples] == pytest.approx([late] * samples)


class Clocks:
    """The host's numbers for the sampler's own thread, one after the other."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, asked: int, worked: float, queued: float) -> None:
        self.steps: dict[str, list[Any]] = {"asked": [0, asked], "worked": [0.0, worked], "queued": [0.0, queued]}
        monkeypatch.setattr(_compat, "voluntary_switches", lambda: self.next("asked"))
        monkeypatch.setattr(_compat.clocks, "process_cpu", lambda: self.next("worked"))
        monkeypatch.setattr(_compat.ThreadClock, "queued", lambda clock: self.next("queued"))

    def next(self, name: str) -> Any:
        values = self.steps[name]
        return values.pop(0) if len(values) > 1 else values[0]


@pytest.mark.parametrize(
    ("asked", "worked", "queued", "expected", "stood"),
    [
        (51, 1.0, 0.0, 1.0, False),  # it asked for the interpreter every 5 ms, or nearly
        (50, 0.0, 0.0, 0.0, True),
        (1, 0.0, 0.5, 0.0, False),  # it was ready, and the host had no CPU
        (1, 0.0, 0.49, 0.0, True),  # it was stopped, and so was all of the process
        (1, 0.24, 0.0, 0.0, True),
        (1, 0.26, 0.0, 1.0, False),  # others went on
    ],
)
def test_why_the_sampler_was_late_is_judged_by_the_hosts_numbers(
    monkeypatch: pytest.MonkeyPatch, asked: int, worked: float, queued: float, expected: float, stood: bool
) -> None:
    """A second late, on both sides of each bound: only a wait for the interpreter makes samples doubtful."""
    standstills: deque[Span] = deque()
    Clocks(monkeypatch, asked, worked, queued)
    lateness = Lateness(standstills)
    monkeypatch.setattr(_compat.clocks, "process_cpu", lambda: worked)
    monkeypatch.setattr(_compat, "voluntary_switches", lambda: asked)
    began = lateness._due
    assert lateness.since(began, 1.0) == expected
    assert bool(standstills) is stood
    lateness.close()


def test_a_stop_while_it_is_asked_why_the_sampler_was_late_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking reads a file, and what happens meanwhile belongs to the next measure: none begins later than the last
    has ended."""
    now = 100.0
    monkeypatch.setattr(_compat.clocks, "monotonic", lambda: now)
    monkeypatch.setattr(_compat.clocks, "process_cpu", lambda: 0.0)
    monkeypatch.setattr(_compat, "voluntary_switches", lambda: 0)

    def queued(clock: Any) -> float:
        nonlocal now
        now += stops.pop() if stops else 0.0
        return 0.0

    stops: list[float] = []
    monkeypatch.setattr(_compat.ThreadClock, "queued", queued)
    standstills: deque[Span] = deque()
    lateness = Lateness(standstills)
    now += 2 * NOTABLE
    stops.append(1.0)
    assert lateness.since(100.0, 2 * NOTABLE) == 0.0
    assert now - lateness.until == pytest.approx(1.0)
    standstills.clear()
    assert lateness.rest(Alarm(), 0.001) < NOTABLE  # the next rest takes it up
    (stood,) = standstills
    assert stood.ended - stood.began == pytest.approx(1.0)
    lateness.close()


def test_the_time_in_the_queue_is_remembered_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has added up over hours says nothing of the last moments; a quarter of a second is near enough."""
    Clocks(monkeypatch, 0, 0.0, 0.0)
    lateness = Lateness(deque())
    read: list[float] = []

    def queued(clock: _compat.ThreadClock) -> float:
        read.append(7.0)
        return read[-1]

    monkeypatch.setattr(_compat.ThreadClock, "queued", queued)
    start = lateness._due
    for hundredths in range(100):
        lateness.note(start + hundredths / 100)
    assert 3 <= len(read) <= 4
    assert lateness._queued == 7.0
    lateness.close()


def test_a_little_lateness_is_not_judged() -> None:
    """Handing on the interpreter takes some milliseconds anyway."""
    standstills: deque[Span] = deque()
    lateness = Lateness(standstills)
    assert lateness.since(0.0, NOTABLE * 0.99) == NOTABLE * 0.99
    assert not standstills
    lateness.close()


# --- the alarm ---------------------------------------------------------------------------------


def test_the_alarm_tells_when_it_was_rung() -> None:
    """Not when the sleeper could go on: the difference is the lateness. The first ring of several counts."""
    alarm = Alarm()
    before = _compat.clocks.monotonic()
    alarm.wake()
    after = _compat.clocks.monotonic()
    time.sleep(0.01)
    alarm.wake()
    woken = alarm.rest(10)
    assert woken is not None and before <= woken <= after
    assert alarm.rest(0.001) is None
    assert not alarm.asleep


def test_an_alarm_that_cannot_start_the_threads_lets_the_loop_go_on() -> None:
    """No thread may be had any more: the application is told nothing, the watch is."""
    faults: list[BaseException] = []
    alarm = Alarm()
    alarm.on_fault = faults.append

    def start() -> None:
        raise RuntimeError("can't start new thread")

    alarm.start = start
    alarm.wake()
    alarm.wake()
    assert [str(fault) for fault in faults] == ["can't start new thread"]
    assert not alarm.asleep


def test_an_alarm_is_as_new_in_the_child_of_a_fork() -> None:
    """The hooks keep the very object."""
    alarm = Alarm()
    alarm.wake()
    alarm.after_fork()
    assert alarm.asleep
    assert alarm.rest(0.001) is None
