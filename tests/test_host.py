"""Evidence from the host: the collector's pauses, and stretches of time that overlap a stall."""

from __future__ import annotations

import gc
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from loopwatch.metrics import GC_BOUNDS
from loopwatch.observe.looks import host
from loopwatch.observe.looks.host import GcHook, Span, new_id, overlap
from loopwatch.testing import FakeClock

# --- overlaps ----------------------------------------------------------------------------------

SPANS = deque([Span(10.0, 11.0, 0), Span(12.0, 15.0, 2), Span(20.0, 20.5, 1)])


@pytest.mark.parametrize(
    ("began", "ended", "seconds", "longest"),
    [
        (0.0, 10.0, 0.0, None),
        (11.0, 12.0, 0.0, None),
        (0.0, 30.0, 4.5, 2),
        (10.25, 10.75, 0.5, 0),
        (10.5, 13.0, 1.5, 2),
        (14.5, 20.25, 0.75, 2),
        (20.25, 30.0, 0.25, 1),
        (20.5, 30.0, 0.0, None),
    ],
)
def test_only_what_lies_within_a_stall_counts_for_it(
    began: float, ended: float, seconds: float, longest: int | None
) -> None:
    """And the span of which most lies within is the one that is told."""
    total, span = overlap(SPANS, began, ended)
    assert total == pytest.approx(seconds)
    assert (span.generation if span else None) == longest


def test_spans_that_are_added_meanwhile_do_no_harm() -> None:
    """Without the interpreter's lock the collector's thread adds to them while they are gone through."""

    class Growing(deque[Span]):
        tries = 3

        def __iter__(self) -> Any:
            Growing.tries -= 1
            if Growing.tries >= 0:
                raise RuntimeError("deque mutated during iteration")
            return super().__iter__()

    assert overlap(Growing(SPANS), 0.0, 30.0)[0] == pytest.approx(4.5)
    Growing.tries = 10**9
    assert overlap(Growing([Span(1.0, 2.0)]), 0.0, 30.0) == (0.0, None)


def test_ids_are_unique_in_the_process() -> None:
    """They begin with its number, so that several processes may write one file."""
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert len({each.partition("-")[0] for each in ids}) == 1


# --- the collector -----------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(host, "clocks", type("Clocks", (), {"monotonic": staticmethod(fake)}))
    return fake


def collect(hook: GcHook, clock: FakeClock, seconds: float, generation: int = 2) -> None:
    hook._collected("start", {"generation": generation})
    clock.advance(seconds)
    hook._collected("stop", {"generation": generation, "collected": 0, "uncollectable": 0})


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_pause_is_counted_by_its_generation(clock: FakeClock, generation: int) -> None:
    """In the bucket whose bound it does not exceed, with its seconds."""
    hook = GcHook()
    collect(hook, clock, GC_BOUNDS[1] * 1.001, generation)
    counts = [0] * (len(GC_BOUNDS) + 1)
    counts[2] = 1
    assert hook.counts[generation] == counts
    assert hook.sums[generation] == pytest.approx(GC_BOUNDS[1] * 1.001)
    assert sum(map(sum, hook.counts.values())) == 1


def test_short_pauses_are_not_kept_one_by_one(clock: FakeClock) -> None:
    """Many thousands of them happen; from half a millisecond on they are kept, the latest thousand or so."""
    hook = GcHook()
    collect(hook, clock, 0.0004)
    assert not hook.pauses
    for _ in range(3000):
        collect(hook, clock, 0.0006)
    assert 1000 <= len(hook.pauses) <= 2000


def test_many_short_pauses_add_up(clock: FakeClock) -> None:
    """A stall of a second in which the collector ran for 600 ms, a millisecond at a time."""
    hook = GcHook()
    began = clock()
    for _ in range(600):
        collect(hook, clock, 0.001, 0)
        clock.advance(0.0007)
    assert overlap(hook.pauses, began, clock())[0] == pytest.approx(0.6)


def test_a_long_pause_is_kept_with_the_stack_that_set_it_off(clock: FakeClock) -> None:
    """And with the thread in which that was; a short one is not worth it."""
    hook = GcHook()
    collect(hook, clock, 0.002)
    collect(hook, clock, 0.02)
    short, long = hook.pauses
    assert short.frames == ()
    assert long.frames[-1].code is collect.__code__
    assert long.ident == threading.get_ident()


class Moments:
    """Stands in for the moments that are waited for, and does something in one of them."""

    def __init__(self, end: Callable[[], object] = int, after: int = 1) -> None:
        self.passed = 0
        self._end, self._after = end, after

    def acquire(self, timeout: float) -> None:
        self.passed += 1
        if self.passed == self._after:
            self._end()


def test_a_collection_that_has_yet_to_tell_of_its_end_is_waited_for(clock: FakeClock) -> None:
    """The thread that made it lost the interpreter on its way to tell; who asks gets the pause all the same."""
    hook: Any = GcHook()
    hook._moment = moments = Moments(lambda: hook._collected("stop", {"generation": 2}), after=3)
    hook._collected("start", {"generation": 2})
    clock.advance(0.3)
    hook.settle(clock())
    assert overlap(hook.pauses, 0.0, clock())[0] == pytest.approx(0.3)
    assert moments.passed == 3


def test_no_collection_is_waited_for_that_is_of_no_matter_or_does_not_end(clock: FakeClock) -> None:
    """None at all, one that began after the step, and, for ever, one whose end is never told."""
    hook: Any = GcHook()
    hook._moment = moments = Moments()
    hook.settle(clock())
    hook._collected("start", {"generation": 2})
    hook.settle(clock() - 0.1)
    assert moments.passed == 0
    hook.settle(clock() + 0.1)
    assert 0 < moments.passed < 100


def test_an_end_without_a_beginning_is_left_out(clock: FakeClock) -> None:
    """The hook may be installed from within a collection."""
    hook = GcHook()
    hook._collected("stop", {"generation": 2})
    assert not hook.pauses and not any(map(sum, hook.counts.values()))


def test_a_generation_that_is_not_known_is_kept_and_not_counted(clock: FakeClock) -> None:
    """Other versions of the interpreter may have others."""
    hook = GcHook()
    collect(hook, clock, 0.02, generation=7)
    assert hook.pauses[0].generation == 7
    assert not any(map(sum, hook.counts.values()))


def test_the_hook_sees_real_collections_and_leaves_as_it_came() -> None:
    """In and out twice changes nothing."""
    before = list(gc.callbacks)
    hook = GcHook()
    hook.install()
    try:
        gc.collect()
        assert sum(hook.counts[2]) >= 1
        assert hook.sums[2] > 0
    finally:
        hook.uninstall()
        hook.uninstall()
    assert gc.callbacks == before


def test_a_collection_in_another_thread_is_told_from_one_in_this(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the thread's number."""
    monkeypatch.setattr(host, "_LONG_PAUSE", 0.0)
    monkeypatch.setattr(host, "_TELLING_PAUSE", 0.0)
    hook = GcHook()
    hook.install()
    try:
        thread = threading.Thread(target=gc.collect)
        thread.start()
        ident: Any = thread.ident
        thread.join()
    finally:
        hook.uninstall()
    spans = [span for span in hook.pauses if span.ident == ident]
    assert spans and spans[0].frames[-1].module == "threading"
