"""Code that computes is charged with what it computed and waited for, and not with what nobody knows of."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.explain.cause import ASKS_EVERY
from loopwatch.explain.culprit import OwnCode
from loopwatch.explain.stall import explain_stall
from loopwatch.facts import Sample
from loopwatch.model import Stall
from tests.made_overruns import overrun, seen

OFTEN = 1 / ASKS_EVERY
KNOWN: dict[str, Any] = {"cpu_seconds": 0.8, "queued_seconds": 0.0, "off_unseen": 0.0, "wakes": 4.0}


def explained(*activities: Any, samples: list[Sample] | None = None, **facts: Any) -> Stall:
    """A second in which the thread computed for 0.8, and nothing else is known of it, if not said otherwise."""
    shown = seen(*activities) if activities else ()
    return explain_stall(overrun(samples=samples or shown, **{**KNOWN, **facts}), OwnCode())


def charged(*activities: Any, **facts: Any) -> float:
    stall = explained(*activities, **facts)
    assert stall.cause == "cpu" and stall.duration == 1.0
    return stall.charged_seconds


def test_what_a_hypervisor_takes_is_not_charged_and_not_lost() -> None:
    """No clock of the thread has it: it is told, and it is in the duration."""
    stall = explained("running", "running")
    assert (stall.cause, stall.duration) == ("cpu", 1.0)
    assert stall.charged_seconds == pytest.approx(0.8)
    assert stall.evidence["unaccounted_seconds"] == pytest.approx(0.2)


@pytest.mark.parametrize("facts", [{"cpu_seconds": 1.0}, {"queued_seconds": 0.2}, {"off_unseen": 0.2}])
def test_where_all_is_known_nothing_is_said(facts: dict[str, Any]) -> None:
    """On a CPU, in the queue for one, or before anybody looked."""
    assert "unaccounted_seconds" not in explained("running", **facts).evidence


@pytest.mark.parametrize(
    "facts",
    [
        {"off_unseen": None},  # the CPU time of a part stands for all
        {"off_unseen": None, "wakes": 0.0},
        {"off_unseen": None, "queued_seconds": None},
    ],
)
def test_where_the_cpu_time_is_not_that_of_all_the_code_is_charged(facts: dict[str, Any]) -> None:
    """What is not known is taken from nobody's account."""
    assert charged("running", **facts) == 1.0


def test_without_a_cpu_clock_nothing_is_unaccounted() -> None:
    """Where the platform has none there is nothing that could be."""
    stall = explained("running", cpu_seconds=None, off_unseen=None)
    assert stall.cause == "unknown" and "unaccounted_seconds" not in stall.evidence


@pytest.mark.parametrize(
    ("unseen", "expected"), [(0.0, 0.8), (0.1, 0.9), (0.2, 1.0), (0.5, 1.0)]
)  # fmt: skip
def test_what_passed_before_the_first_look_may_have_been_a_wait(unseen: float, expected: float) -> None:
    """A short call to a database, and then much to compute: both are the code's own."""
    assert charged("running", "running", off_unseen=unseen) == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["sleep", "network", "file", "process", "other", "futex", None])
def test_a_wait_that_was_seen_is_the_codes_own(kind: Any) -> None:
    """And so is what may have been one: a look of which nobody knows what the thread did."""
    assert charged("running", "running", "running", "running", kind) == pytest.approx(1.0)
    tenth = ["running"] * 9
    assert charged(*tenth, kind) == pytest.approx(0.9)


@pytest.mark.parametrize(("wakes", "expected"), [(0.0, 0.8), (0.9, 0.8), (1.0, 1.0), (None, 1.0)])
def test_who_has_not_woken_has_not_slept(wakes: float | None, expected: float) -> None:
    """Where a look does not show what the thread did, that it has not woken meanwhile does."""
    assert charged(None, None, wakes=wakes, off_unseen=0.0) == pytest.approx(expected)


@pytest.mark.parametrize("wakes", [0.0, 1.0, None])
def test_how_often_it_woke_since_tells_nothing_of_before_the_first_look(wakes: float | None) -> None:
    """Wakes are counted from there, where that can be."""
    assert charged("running", wakes=wakes, off_unseen=0.2) == pytest.approx(1.0)


@pytest.mark.parametrize(("queued", "expected"), [(0.1, 0.8), (0.2, 0.8), (0.3, 0.8)])
def test_a_busy_host_and_a_hypervisor_take_from_the_same_second(queued: float, expected: float) -> None:
    """What was computed is charged: no more, and also where too much was counted in the queue, no less."""
    assert charged("running", queued_seconds=queued) == pytest.approx(expected)


def test_a_starved_step_that_computed_long_enough_is_charged_with_that() -> None:
    """More in the queue than on a CPU, and some of it nowhere."""
    stall = explained("running", cpu_seconds=0.3, queued_seconds=0.55, threshold=0.1)
    assert (stall.cause, stall.evidence["unaccounted_seconds"]) == ("cpu", pytest.approx(0.15))
    assert stall.charged_seconds == pytest.approx(0.3)
    unknown = explained("running", cpu_seconds=0.3, queued_seconds=0.55, threshold=0.5)
    assert unknown.cause == "unknown" and unknown.charged_seconds == 1.0


def test_a_wait_for_the_interpreter_is_not_taken_off_twice() -> None:
    """Others had it, or the sampler; the thread asked for it all the time."""
    stall = explained("futex", "futex", "running", wakes=OFTEN)
    assert stall.evidence["interpreter_seconds"] == pytest.approx(0.2)
    assert "unaccounted_seconds" not in stall.evidence and stall.charged_seconds == pytest.approx(0.8)


def test_who_waits_for_threads_of_its_own_is_charged_with_that() -> None:
    """It computes with several threads and waits for the last of them: a lock, for which it does not keep asking."""
    assert charged("running", "running", "futex", "futex") == pytest.approx(1.0)


def test_a_stop_and_a_collection_elsewhere_are_not_taken_off_twice() -> None:
    """The clock of the thread did not run meanwhile, and both are numbers of their own."""
    assert charged("running", suspended_seconds=0.2) == pytest.approx(0.8)
    assert charged("running", gc_seconds=0.2, gc_elsewhere=True) == pytest.approx(0.8)


def test_what_the_thread_collected_itself_was_computed_and_is_not_charged() -> None:
    """So of 0.8 s on a CPU 0.3 s are left, and 0.2 s nobody accounts for."""
    stall = explained("running", cpu_seconds=0.8, gc_seconds=0.3)
    assert stall.evidence["unaccounted_seconds"] == pytest.approx(0.2)
    assert stall.charged_seconds == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        ({"samples": seen("running", importing="json")}, "import"),
        ({"cpu_seconds": 0.1, "samples": seen("sleep")}, "wait"),
    ],
)
def test_other_causes_are_charged_whole(facts: dict[str, Any], cause: str) -> None:
    """A wait is no less the code's own for having no CPU time, nor is an import."""
    stall = explained(**facts)
    assert (stall.cause, stall.charged_seconds) == (cause, 1.0)
    assert "unaccounted_seconds" not in stall.evidence
