"""What an overrun did with its time, from readings of its thread's clocks; and what is kept of a loop, for how long."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from loopwatch import _compat
from loopwatch.facts import HandleFacts, Sample
from loopwatch.observe.looks.observation import Look, Observation, end_of, load, seen_ready
from loopwatch.observe.loops.loop_clock import Reading
from loopwatch.observe.loops.loop_state import Held
from loopwatch.testing import FakeClock


def held(cpu: float | None = None, active: float = 0.0, kind: str = "step", **facts: Any) -> Held:
    """An overrun from 100 to 101."""
    given: dict[str, Any] = {"state": SimpleNamespace(native=7), "started": 100.0, "ended": 101.0, **facts}
    return Held(
        kind=kind, handle=HandleFacts("step"), delayed=0, steps=1, turn_seconds=0.0, contributors=(),
        cpu=cpu, active=active, **given,
    )  # fmt: skip


# --- CPU ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "cpu", "active", "expected"),
    [
        (Reading(100.0, 5.0, 2.0), 2.7, 5.0, 0.7),  # read at its beginning
        (Reading(99.5, 5.0, 2.0), 2.7, 5.0, 0.7),  # before it, and the loop was idle since
        (Reading(99.5, 5.0, 2.0), 2.7, 5.3, 0.4),  # before it, and 0.3 s of activity are not its own
        (Reading(99.5, 5.0, 2.0), 2.2, 5.3, 0.0),  # never less than nothing
        (Reading(99.5, 5.0, 2.0), 3.7, 5.0, 1.0),  # nor more than all
        (Reading(100.5, 5.0, 2.0), 2.2, 5.0, 0.4),  # in the middle of it: what was seen stands for all
        (Reading(101.0, 5.0, 2.0), 2.2, 5.0, None),  # not before its end
    ],
)
def test_the_cpu_time_is_what_was_added_since_the_last_reading(
    base: Reading, cpu: float, active: float, expected: float | None
) -> None:
    """The thread's clock at the end is exact; at the beginning it is the nearest reading's, corrected."""
    found = load(held(cpu, active), [base], None).cpu
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_latest_reading_before_it_is_the_base() -> None:
    """Not an older one, and not one of its own middle."""
    readings = [Reading(90.0, 1.0, 1.0), Reading(99.9, 5.0, 2.0), Reading(100.4, 5.4, 2.2)]
    assert load(held(2.7, 5.0), readings, None).cpu == pytest.approx(0.7)


def test_the_end_of_what_held_before_is_a_base() -> None:
    """Two stalls in a row: what the first one slept is not taken from what the second one computed."""
    readings = [Reading(98.0, 3.0, 2.0), Reading(100.0, 5.0, 2.001)]
    assert load(held(2.901, 5.0), readings, None).cpu == pytest.approx(0.9)


def test_while_it_lasts_the_clock_is_read_from_outside() -> None:
    """There is no end yet at which the thread could have read it itself."""
    assert load(held(None, 5.0), [Reading(100.0, 5.0, 2.0)], Reading(101.0, 6.0, 2.6)).cpu == pytest.approx(0.6)
    assert load(held(None, 5.0), [Reading(100.0, 5.0, 2.0)], None).cpu is None
    assert load(held(2.0), [], None).cpu is None


# --- the queue for a CPU, and wakes ------------------------------------------------------------


def queued(at: float, seconds: float | None, active: float | None = None) -> Reading:
    """Of a loop that is active all the time, if not said otherwise."""
    return Reading(at, at if active is None else active, 0.0, seconds)


@pytest.mark.parametrize(
    ("readings", "now", "expected"),
    [
        ([queued(100.0, 1.0)], queued(101.0, 1.6), 0.6),
        ([queued(99.5, 1.0)], queued(101.5, 1.6), 0.3),  # of two seconds its one
        ([queued(99.5, 1.0), queued(100.9, 1.6)], queued(109.0, 9.0), 0.6 / 1.4),  # not what came later
        ([queued(90.0, 0.5), queued(99.9, 1.0)], queued(101.1, 1.6), 0.5),
        ([queued(100.0, 1.0)], queued(101.0, 9.0), 1.0),
        ([queued(100.7, 1.0)], queued(101.0, 1.6), None),  # too little of it
        ([queued(100.0, None)], queued(101.0, 1.6), None),
        ([queued(100.0, 1.0)], None, None),
    ],
)
def test_the_time_in_the_queue_is_counted_between_the_nearest_readings(
    readings: list[Reading], now: Reading | None, expected: float | None
) -> None:
    """In proportion, where these are not its beginning and its end."""
    found = load(held(), readings, now).queued
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("active", "expected"),
    [
        (2.0, 0.3),  # all the time, of which the half is the overrun's
        (1.5, 0.4),
        (1.0, 0.6),  # in the overrun alone
        (0.5, 0.6),  # no less than that
        (9.0, 0.3),  # no more than passed
    ],
)
def test_the_time_in_the_queue_is_that_of_an_active_loop(active: float, expected: float) -> None:
    """A loop that waits in its poll wants no CPU."""
    readings = [queued(99.5, 1.0, 7.0), queued(101.5, 1.6, 7.0 + active)]
    assert load(held(), readings, None).queued == pytest.approx(expected)


def test_a_reading_within_the_overrun_counts_from_there() -> None:
    """Of its second half, and nothing of the time after: the first half was like it."""
    readings = [queued(100.5, 1.0, 7.0), queued(101.4, 1.3, 7.5)]
    assert load(held(), readings, None).queued == pytest.approx(0.6)


def read(at: float, cpu: float, queued: float | None = 1.0, active: float | None = None) -> Reading:
    return Reading(at, at if active is None else active, cpu, queued)


def looked(at: float, cpu: float, queued: float | None = 1.0) -> Look:
    return Look(Sample(at, 100.0, 0.0, ()), read(at, cpu, queued))


@pytest.mark.parametrize(
    ("base", "looks", "expected"),
    [
        (read(100.0, 5.0), [looked(100.4, 5.1)], 0.3),
        (read(100.0, 5.0), [looked(100.4, 5.1), looked(100.8, 5.1)], 0.3),  # up to the first
        (read(100.0, 5.0), [looked(100.4, 5.1, 1.2)], 0.1),  # in the queue it was 0.2 s
        (read(100.0, 5.0), [looked(100.4, 5.4)], 0.0),
        (read(100.0, 5.0), [looked(100.4, 5.3, 1.3)], 0.0),  # never less than nothing
        (read(100.0, 5.0, None), [looked(100.4, 5.1, None)], 0.3),  # nobody knows of a queue
        (read(99.8, 5.0, 1.0, 99.9), [looked(100.4, 5.2)], 0.3),  # 0.1 s are of what ran before
        (read(100.0, 5.0), [Look(Sample(100.2, 100.0, 0.0, ()), None), looked(100.4, 5.1)], 0.3),
        (read(100.0, 5.0), [Look(Sample(100.2, 100.0, 0.0, ()), None)], 0.4),  # all of it
        (read(100.0, 5.0), [], 0.4),
        (read(100.1, 5.0), [looked(100.4, 5.1)], None),  # the CPU time is that of a part
    ],
)
def test_for_how_long_a_thread_may_have_waited_unseen(base: Reading, looks: list[Look], expected: float | None) -> None:
    """Before the first look that read its clocks: what was neither on a CPU nor in the queue for one."""
    found = load(held(5.6, 100.0), [base], None, looks).off_unseen
    assert found == (None if expected is None else pytest.approx(expected))


def test_while_it_lasts_what_passed_unseen_is_known_too() -> None:
    """From the first look, and without any from the last reading."""
    now = read(101.0, 5.6)
    assert load(held(None, 100.0), [read(100.0, 5.0)], now, [looked(100.4, 5.1)]).off_unseen == pytest.approx(0.3)
    assert load(held(None, 100.0), [read(100.0, 5.0)], now).off_unseen == pytest.approx(0.4)
    assert load(held(None, 100.0), [read(100.0, 5.0)], None).off_unseen is None
    assert load(held(None, 100.0), [], now).off_unseen is None


def look(at: float, counted: float, activity: Any, read_at: float = 0.0) -> Look:
    return Look(Sample(at, 100.0, 0.0, (), activity=activity), queued(read_at or at, counted))


@pytest.mark.parametrize(
    ("looks", "most"),
    [
        ([look(100.1, 1.6, "sleep"), look(100.9, 1.6, "sleep")], 0.2),
        ([look(100.1, 1.6, "sleep"), look(100.9, 1.8, "futex")], 0.4),  # it woke, and was ready meanwhile
        ([look(100.1, 1.6, "sleep", 100.2), look(100.8, 1.6, "sleep", 100.9)], 0.4),  # may have woken in between
        ([look(100.1, 1.6, "running"), look(100.9, 1.6, "running")], 1.0),
        ([look(100.1, 1.6, None), look(100.9, 1.6, "running")], 1.0),
        ([look(100.6, 1.6, "sleep")], 1.0),  # one moment bounds nothing
    ],
)
def test_a_thread_that_was_seen_asleep_was_not_ready_for_a_cpu(looks: list[Look], most: float) -> None:
    """It was before the overrun, and the kernel has told only when it got its CPU: more than the time that passed."""
    readings = sorted([queued(99.9, 0.0), *(each.reading for each in looks if each.reading)], key=lambda each: each.at)
    assert load(held(), readings, queued(101.1, 1.8), looks).queued == pytest.approx(most)


def switches(at: float, count: int | None) -> Reading:
    return Reading(at, 0.0, 0.0, None, count)


@pytest.mark.parametrize(
    ("readings", "now", "expected"),
    [
        ([switches(99.9, 10), switches(100.2, 110), switches(100.7, 111)], switches(101.5, 300), 2.0),
        ([switches(99.9, 10), switches(100.2, 110), switches(100.4, 111)], switches(101.1, 250), 200.0),
        ([switches(99.9, 10)], switches(101.1, 250), 200.0),
        ([switches(100.2, None), switches(100.7, None)], None, None),
    ],
)
def test_wakes_are_counted_within_the_overrun_where_that_can_be(
    readings: list[Reading], now: Reading | None, expected: float | None
) -> None:
    """A loop that is not held wakes at each poll, which would count as asking for the interpreter."""
    found = load(held(), readings, now).wakes
    assert found == (None if expected is None else pytest.approx(expected))


def test_the_thread_itself_tells_at_the_end_how_often_it_woke() -> None:
    """So one look at the overrun is enough, and what the thread did until the end was told does not count."""
    ended = held(cpu=1.0, switches=14)
    assert end_of(ended) == Reading(101.0, 1.0, 1.0, None, 14)
    assert load(ended, [switches(99.0, 3), switches(100.7, 11)], switches(101.4, 90)).wakes == pytest.approx(10.0)
    assert end_of(held()) is None


# --- readings ----------------------------------------------------------------------------------


class Threads:
    """The clocks of threads, by their native ids; reading a file takes its time where another takes the interpreter."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = FakeClock(100.0)
        self.cpu: dict[int, float | None] = {7: 1.0}
        self.queued = 2.0
        self.pause = 0.0
        self.read = 0
        monkeypatch.setattr(_compat.ThreadClock, "cpu", lambda thread: self.cpu.get(thread.native))
        monkeypatch.setattr(_compat.ThreadClock, "queued", lambda thread: self.read_queued())
        monkeypatch.setattr(_compat.ThreadClock, "switches", lambda thread: 3)
        self.state: Any = SimpleNamespace(native=7, active=lambda now: now - 90.0)
        self.seen = Observation()

    def read_queued(self) -> float:
        self.read += 1
        self.clock.advance(self.pause)
        return self.queued

    def turn(self, seconds: float, cpu: float = 0.0, queued: float = 0.0) -> None:
        """A turn of the loop, after which it is looked at in its next."""
        self.clock.advance(seconds)
        self.cpu[self.state.native] = (self.cpu[self.state.native] or 0.0) + cpu
        self.queued += queued
        self.seen.follow(self.clock(), 0.0)
        self.seen.note(self.state, self.clock)

    def noted(self, **facts: Any) -> list[Reading]:
        return self.seen.readings(held(state=self.state, **facts))


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    return Threads(monkeypatch)


def test_a_reading_is_dated_when_it_was_made(threads: Threads) -> None:
    """To read a file is to let others take the interpreter: what would be read after that has another date."""
    assert threads.seen.read(threads.state, threads.clock) == Reading(100.0, 10.0, 1.0, 2.0, 3)
    threads.pause = 0.3
    assert threads.seen.read(threads.state, threads.clock) == Reading(100.0, 10.0, 1.0, 2.0, None)
    threads.cpu.clear()
    assert threads.seen.read(threads.state, threads.clock) is None


def test_a_thread_that_gets_its_cpu_is_read_without_the_files(threads: Threads) -> None:
    """While it computes all the time that its loop is active, it cannot have been in the queue; for a while."""
    for _ in range(40):
        threads.turn(0.025, cpu=0.025)
    assert 9 <= threads.read <= 12
    assert all(reading.queued == 2.0 for reading in threads.noted())
    assert [reading.at for reading in threads.noted()][-1] == pytest.approx(threads.clock())


@pytest.mark.parametrize(
    ("cpu", "queued"),
    [(0.015, 0.0), (0.025, 0.001), (0.0, 0.025)],
    ids=["off the cpu while active", "queued between its turns", "queued all the time"],
)
def test_where_a_thread_may_not_get_its_cpu_the_files_are_read(threads: Threads, cpu: float, queued: float) -> None:
    """Each time: from that on which is nearest to it the time in the queue of a stall is counted."""
    for _ in range(40):
        threads.turn(0.025, cpu, queued)
    assert threads.read == 40
    threads.turn(0.025, cpu, queued)
    assert threads.noted()[-1].queued == pytest.approx(2.0 + 41 * queued)


def test_a_thread_that_loses_its_cpu_is_read_at_once(threads: Threads) -> None:
    """However well it fared before."""
    for _ in range(9):
        threads.turn(0.025, cpu=0.025)
    before = threads.read
    threads.turn(0.025, cpu=0.005, queued=0.02)
    assert threads.read == before + 1
    assert threads.noted()[-1].queued == pytest.approx(2.02)


def test_where_the_kernel_does_not_count_the_rest_is_read(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU time is known without any file."""
    monkeypatch.setattr(_compat.ThreadClock, "queued", lambda thread: None)
    for _ in range(8):
        threads.turn(0.025, cpu=0.025)
    last = threads.noted()[-1]
    assert last[:3] == pytest.approx((threads.clock(), threads.clock() - 90, 1.2))
    assert last[3:] == (None, 3)


# --- what is kept ------------------------------------------------------------------------------


def sample(at: float, step: float) -> Sample:
    return Sample(at, step, 0.0, ())


def test_what_a_step_is_told_with_is_what_was_seen_of_it() -> None:
    """Steps are told apart by their beginning, turns hold what was seen between theirs and their end."""
    seen = Observation()
    seen.follow(100.0, 0.0)
    for at, step in ((100.2, 100.0), (100.6, 100.5), (100.9, 100.5), (101.2, 101.1)):
        seen.add(sample(at, step), None)
    assert [look.sample.at for look in seen.looks_of(held())] == [100.2]
    assert [look.sample.at for look in seen.looks_of(held(started=100.5 + 1e-9))] == [100.6, 100.9]
    assert [look.sample.at for look in seen.looks_of(held(kind="turn"))] == [100.2, 100.6, 100.9]


def test_a_new_turn_begins_without_samples_and_the_old_ones_are_kept_for_a_while() -> None:
    """What ended is told a little later; what nobody asked for is dropped after a second."""
    seen = Observation()
    seen.follow(100.0, 0.0)
    seen.add(sample(100.2, 100.0), None)
    seen.next_at = 101.0
    assert seen.last is not None
    seen.follow(100.3, 0.0)
    assert seen.last is None
    assert seen.next_at == 0.0
    seen.forget(100.9)
    assert len(seen.looks_of(held())) == 1
    seen.forget(101.3)
    assert seen.looks_of(held()) == []


def test_a_nested_loop_moves_what_was_seen_of_the_step_around_it() -> None:
    """As it has moved the marks of that step, and nothing older."""
    seen = Observation()
    seen.follow(99.0, 0.0)
    seen.add(sample(99.5, 99.0), None)
    seen.follow(100.0, 0.0)
    seen.add(sample(100.2, 100.0), None)
    tale = seen.tale("step", 100.0, 1.0)
    seen.follow(105.0, 5.0)
    assert [look.sample.at for look in seen.looks_of(held(started=105.0))] == [105.2]
    assert [look.sample.at for look in seen.looks_of(held(started=99.0))] == [99.5]
    assert seen.id_of(held(started=105.0)) == tale.id


def test_an_id_is_given_out_once() -> None:
    """A stall that was told while it lasted ends under its id; the next one has another."""
    seen = Observation()
    seen.follow(100.0, 0.0)
    tale = seen.tale("turn", 100.0, 1.0)
    assert seen.tale("turn", 100.0, 1.0) is tale
    assert seen.id_of(held(started=100.4, kind="turn")) == tale.id
    assert seen.id_of(held(started=100.4, kind="turn")) != tale.id


def test_a_thread_that_a_loop_has_left_is_not_asked_any_more(threads: Threads) -> None:
    """Its clocks say nothing of the thread in which the loop runs now."""
    threads.turn(0.0)
    assert len(threads.noted()) == 1
    threads.state.native = 8
    threads.cpu[8] = 5.0
    assert threads.noted() == []
    threads.turn(1.0)
    assert [(reading.at, reading.cpu) for reading in threads.noted()] == [(101.0, 5.0)]


def test_a_thread_that_has_the_number_of_one_that_ended_is_not_taken_for_it(threads: Threads) -> None:
    """Its clock has begun anew."""
    threads.turn(0.0)
    threads.cpu[7] = 0.25
    threads.turn(1.0)
    assert [(reading.at, reading.cpu) for reading in threads.noted()] == [(101.0, 0.25)]


def test_a_loop_that_does_nothing_is_not_read_again_and_again(threads: Threads) -> None:
    """Its clocks stand still; a tenth of a second later they are read once more."""
    threads.state.active = lambda now: 0.0
    threads.turn(0.0)
    for _ in range(7):
        threads.turn(0.03)
    assert [round(reading.at, 2) for reading in threads.noted()] == [100.0, 100.12]
    assert threads.read == 2


def test_of_a_long_turn_the_beginning_is_read_and_not_the_middle(threads: Threads) -> None:
    """Readings of its middle would be taken for those of what came before."""
    threads.turn(0.0)
    for _ in range(10):
        threads.clock.advance(0.03)
        threads.seen.note(threads.state, threads.clock)
    assert [reading.at for reading in threads.noted()] == [100.0]


def test_what_was_seen_to_wait_and_ran_in_the_same_turn_is_counted_once() -> None:
    """Of four that were seen three ran after the step in its turn, and so are counted already."""
    look = Look(Sample(100.9, 100.0, 0.0, ()), None, ready=4)
    known = held(behind=3)
    assert [seen_ready(known, looks) for looks in ([look], [look._replace(ready=1)], [])] == [1, 0, 0]
