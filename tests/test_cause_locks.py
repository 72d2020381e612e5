"""Waits for locks, for the interpreter and for new threads: the kernel tells them apart by nothing but their wakes."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.explain.cause import ASKS_EVERY, HALF, LITTLE, MOSTLY
from loopwatch.facts import HandleFacts, RawFrame, Sample
from tests.made_overruns import AT_WORK, calls, cause, evidence, overrun, seen

TINY = 0.001

OFTEN = 1 / ASKS_EVERY


@pytest.mark.parametrize(
    ("wakes", "expected"),
    [(1.0, ("wait", True)), (OFTEN - 1, ("wait", True)), (OFTEN, ("unknown", False)), (10 * OFTEN, ("unknown", False))],
)
@pytest.mark.parametrize("body", ["lock.acquire()", "names.get(1)"])
def test_who_keeps_waking_wants_the_interpreter_and_no_lock(
    wakes: float, expected: tuple[str, bool], body: str
) -> None:
    """Both wait on a futex; who waits for a lock sleeps on, whatever the call looks like."""
    facts = overrun(cpu_seconds=0.05, wakes=wakes, samples=seen("futex", "futex", frame=calls(body)))
    assert cause(facts) == expected
    assert evidence(facts).get("waited_for") == ("lock" if expected[1] else "interpreter")


def starting(*activities: Any, frames: tuple[RawFrame, ...] = (), late: float = 0.0) -> list[Sample]:
    """Samples of a view that starts a thread, which waits until that runs; ``frames`` are seen instead where given."""
    start = calls("self._started.wait()", "threading", "/usr/lib/python3/threading.py", name="start")
    wait = calls("waiter.acquire()", "threading", "/usr/lib/python3/threading.py", name="wait")
    shown = frames or (AT_WORK, start, wait)
    return [sample._replace(frames=shown) for sample in seen(*activities, late=late)]


@pytest.mark.parametrize("late", [0.0, 0.9])
@pytest.mark.parametrize("wakes", [None, 2.0])
def test_a_thread_that_cannot_begin_is_no_lock_of_the_code_that_starts_it(late: float, wakes: float | None) -> None:
    """``Thread.start()`` waits on an event, but nobody holds that: the new thread gets no interpreter, or no CPU."""
    facts = overrun(cpu_seconds=0.01, queued_seconds=0.0, wakes=wakes, samples=starting("futex", late=late))
    assert cause(facts) == ("unknown", False)
    assert evidence(facts)["waited_for"] == "thread"


def test_only_the_start_of_a_thread_is_excused() -> None:
    """Not other waits in ``threading``, not other functions called start, not code that computes."""
    acquire = calls("waiter.acquire()", "threading", "/usr/lib/python3/threading.py", name="wait")
    other = calls("lock.acquire()", "shop.jobs", name="start")
    for frames in ((AT_WORK, acquire), (AT_WORK, other, acquire)):
        facts = overrun(cpu_seconds=0.01, wakes=2.0, samples=starting("futex", frames=frames))
        assert (cause(facts), evidence(facts)["waited_for"]) == (("wait", True), "lock")
    assert cause(overrun(cpu_seconds=HALF, samples=starting("running"))) == ("cpu", True)


def test_a_thread_must_have_been_starting_for_half_of_the_time() -> None:
    """On both sides of the half."""
    half = [*starting("futex", "futex")[:1], *seen("sleep", "sleep")[1:]]
    assert evidence(overrun(cpu_seconds=0.0, wakes=2.0, samples=half))["waited_for"] == "thread"
    less = [*starting("futex", "futex", "futex")[:1], *seen("sleep", "sleep", "sleep")[1:]]
    assert evidence(overrun(cpu_seconds=0.0, wakes=2.0, samples=less))["waited_for"] == "sleep"


def test_a_lock_is_not_believed_to_a_late_sample() -> None:
    """The sampler itself had just been given the interpreter, for which the thread then waits."""
    late = overrun(cpu_seconds=0.0, queued_seconds=0.0, wakes=2.0, samples=seen("futex", late=0.9))
    assert evidence(late)["waited_for"] == "other"
    both = [*seen("futex")[:1], *seen("futex", late=0.4)]
    confirmed = overrun(cpu_seconds=0.0, queued_seconds=0.0, wakes=2.0, samples=both)
    assert evidence(confirmed)["waited_for"] == "lock"


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (calls("lock.acquire()"), ("wait", True)),
        (calls("future.result()"), ("wait", True)),
        (calls("selector.select()"), ("unknown", False)),
        (calls("names.get()"), ("unknown", False)),
        (calls("wait_for_tstate()", "threading", "/usr/lib/python3/threading.py"), ("wait", True)),
    ],
)
def test_without_a_count_of_wakes_the_call_tells_a_lock(frame: RawFrame, expected: tuple[str, bool]) -> None:
    """A futex alone may be the interpreter's: the name of the call decides, the second best evidence."""
    facts = overrun(cpu_seconds=0.05, samples=seen("futex", frame=frame))
    assert cause(facts) == expected
    assert evidence(facts).get("certain") == (False if expected[1] else None)


def test_a_thread_that_others_starve_of_the_interpreter_is_not_charged_though_it_computed_half() -> None:
    """Half on the CPU, and asking for the interpreter in the other: that is not its own doing."""
    starved = seen("futex", "running")
    assert cause(overrun(cpu_seconds=0.55, wakes=2 * OFTEN, samples=starved)) == ("unknown", False)
    assert cause(overrun(cpu_seconds=MOSTLY, wakes=2 * OFTEN, samples=starved)) == ("cpu", True)
    assert cause(overrun(cpu_seconds=0.55, wakes=2, samples=starved)) == ("cpu", True)


@pytest.mark.parametrize(
    ("cpu", "queued", "threshold", "expected"),
    [
        (0.55, 0.0, 0.5, ("cpu", True)),
        (0.55, 0.0, 0.6, ("unknown", False)),
        (HALF - TINY, 0.0, 0.05, ("unknown", False)),
        (0.55, 0.3, 1.0, ("cpu", True)),
        (0.31, 0.29, 1.0, ("cpu", True)),
        (0.31, 0.28, 1.0, ("unknown", False)),
    ],
)
def test_half_that_would_have_held_the_loop_by_itself_is_the_codes_own(
    cpu: float, queued: float, threshold: float, expected: tuple[str, bool]
) -> None:
    """Whatever others did meanwhile; and time in a CPU's queue was no asking for the interpreter."""
    facts = overrun(
        cpu_seconds=cpu, queued_seconds=queued, threshold=threshold, wakes=2 * OFTEN, samples=seen("futex", "running")
    )
    assert cause(facts) == expected


@pytest.mark.parametrize(
    ("activities", "facts", "expected"),
    [
        (("futex", "running"), {"cpu_seconds": 0.6, "wakes": OFTEN}, 0.4),
        (("futex", "running"), {"cpu_seconds": 0.6, "queued_seconds": 0.1, "wakes": OFTEN}, 0.3),
        (("running",), {"cpu_seconds": 0.6, "wakes": OFTEN}, None),
        ((), {"cpu_seconds": 0.6, "wakes": OFTEN}, 0.4),
        (("futex", "running"), {"cpu_seconds": 0.6, "wakes": OFTEN - 1}, None),
        (("futex", "running"), {"cpu_seconds": 0.6}, None),
        (("futex", "running"), {"wakes": OFTEN}, None),
        (("futex", "sleep", "sleep"), {"cpu_seconds": 0.6, "wakes": OFTEN}, None),
        (("futex",), {"cpu_seconds": 1.1, "wakes": OFTEN}, None),
    ],
)
def test_the_time_without_the_interpreter_is_told(
    activities: Any, facts: dict[str, float], expected: float | None
) -> None:
    """What was neither computing nor waiting for a CPU, of a thread that kept asking; else it is not known."""
    found = evidence(overrun(samples=seen(*activities) if activities else (), **facts))
    assert found.get("interpreter_seconds") == (pytest.approx(expected) if expected else None)


def test_who_wants_the_interpreter_is_known_by_its_wakes_alone() -> None:
    """Where others hold it, the sampler may not get it either, and sees nothing."""
    assert cause(overrun(cpu_seconds=0.05, wakes=2 * OFTEN)) == ("unknown", False)
    assert evidence(overrun(cpu_seconds=0.05, wakes=2 * OFTEN))["waited_for"] == "interpreter"


def test_many_short_sleeps_are_waits() -> None:
    """They wake as often as who wants the interpreter, but what they wait for is seen."""
    facts = overrun(cpu_seconds=0.05, wakes=4 * OFTEN, samples=seen("sleep", "sleep", "futex"))
    assert cause(facts) == ("wait", True)
    assert evidence(facts)["waited_for"] == "sleep"


def test_what_blocks_unseen_is_a_wait_of_its_own() -> None:
    """Off the CPU, not queued for one, and never waking: the thread was blocked, though nobody saw in what."""
    late = seen("running", frame=calls("library.call()"), late=0.9)
    facts = overrun(cpu_seconds=0.01, queued_seconds=0.0, wakes=2.0, samples=late)
    assert cause(facts) == ("wait", True)
    assert evidence(facts)["waited_for"] == "other"
    assert evidence(facts)["call"] == "library.call"
    assert evidence(facts)["late_samples"] == 1


@pytest.mark.parametrize(
    ("module", "expected"),
    [("shop.views", ("wait", True)), ("asyncio.threads", ("unknown", False)), ("asyncio", ("unknown", False))],
)
def test_asyncios_own_coroutines_do_not_block_unseen(module: str, expected: tuple[str, bool]) -> None:
    """``asyncio.to_thread`` starts threads, and calls nothing that waits: what nobody saw was a wait for these."""
    facts: Any = {"cpu_seconds": 0.0, "queued_seconds": 0.0, "wakes": 1.0}
    handle = HandleFacts("to_thread", "Task-1", "to_thread", AT_WORK.code, module)
    unseen = seen("running", frame=None, late=0.9)
    assert cause(overrun(samples=unseen, handle=handle, **facts)) == expected
    assert cause(overrun(samples=seen("running", late=0.9), handle=handle, **facts)) == ("wait", True)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"cpu_seconds": 0.1, "queued_seconds": LITTLE - 0.1, "wakes": 2.0}, ("wait", True)),
        ({"cpu_seconds": 0.1, "queued_seconds": LITTLE - 0.099, "wakes": 2.0}, ("unknown", False)),
        ({"cpu_seconds": 0.1, "queued_seconds": 0.0, "wakes": OFTEN}, ("unknown", False)),
        ({"cpu_seconds": 0.1, "queued_seconds": 0.0}, ("unknown", False)),
        ({"cpu_seconds": 0.1, "wakes": 2.0}, ("unknown", False)),
    ],
)
def test_blocking_unseen_must_be_all_that_is_left(facts: dict[str, float], expected: tuple[str, bool]) -> None:
    """Each of the three numbers must be known, and clear."""
    assert cause(overrun(samples=seen("running"), **facts)) == expected
