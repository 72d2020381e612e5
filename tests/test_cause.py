"""The decision of a cause, from made-up facts, on both sides of each bound."""

from __future__ import annotations

from typing import Any

import pytest

from loopwatch.explain.cause import HALF, MOSTLY
from loopwatch.explain.looks import LATE
from loopwatch.facts import HandleFacts, RawFrame, Sample
from tests.made_overruns import AT_WORK, calls, cause, code, evidence, overrun, seen

TINY = 0.001

# --- the code's own doing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [(1.0, ("cpu", True)), (HALF, ("cpu", True)), (HALF - TINY, ("unknown", False)), (0.0, ("unknown", False))],
)
def test_half_of_the_time_on_the_cpu_is_the_cause_cpu(cpu: float, expected: tuple[str, bool]) -> None:
    """Below, and with nothing else known, nobody is charged."""
    assert cause(overrun(cpu_seconds=cpu)) == expected


@pytest.mark.parametrize("kind", ["network", "sleep", "file", "process"])
def test_a_wait_in_the_kernel_is_the_cause_wait(kind: str) -> None:
    """The kernel tells what a thread waits for; the call is named from the frame."""
    facts = overrun(cpu_seconds=0.01, samples=seen(kind, kind, frame=calls("client.fetch()")))
    assert cause(facts) == ("wait", True)
    assert evidence(facts)["waited_for"] == kind
    assert evidence(facts)["call"] == "client.fetch"


@pytest.mark.parametrize(
    ("activities", "expected"),
    [
        (("sleep", "sleep", "running", "running"), ("wait", True)),
        (("sleep", "running", "running"), ("unknown", False)),
    ],
)
def test_a_wait_must_have_been_seen_for_half_of_the_time(activities: Any, expected: tuple[str, bool]) -> None:
    """On both sides of the half."""
    assert cause(overrun(cpu_seconds=0.1, samples=seen(*activities))) == expected


def test_samples_count_by_the_time_that_they_stand_for() -> None:
    """Many samples of the beginning weigh less than the one of all the rest."""
    early = [Sample(100.0 + 0.01 * index, 100.0, 0.0, (AT_WORK,), activity="running") for index in range(1, 10)]
    late = Sample(100.6, 100.0, 0.0, (AT_WORK,), activity="sleep")
    facts = overrun(cpu_seconds=0.1, samples=[*early, late])
    assert cause(facts) == ("wait", True)


def test_the_cpu_goes_before_waits_that_were_seen() -> None:
    """A clock is surer than samples."""
    assert cause(overrun(cpu_seconds=HALF, samples=seen("sleep", "sleep"))) == ("cpu", True)


def test_a_wait_is_told_without_a_clock_too() -> None:
    """Where the platform has no clocks of threads, what was seen decides; without anything, the code is charged."""
    assert cause(overrun(samples=seen("network"))) == ("wait", True)
    assert cause(overrun(samples=seen("running"))) == ("unknown", True)
    assert cause(overrun()) == ("unknown", True)


@pytest.mark.parametrize(
    ("importing", "expected"),
    [((2, 2), ("import", True)), ((1, 2), ("cpu", True))],
)
def test_an_import_must_have_been_seen_for_half_of_the_time(
    importing: tuple[int, int], expected: tuple[str, bool]
) -> None:
    """An import goes before the cpu that it takes; on both sides of the half."""
    during, other = importing
    samples = [
        sample._replace(importing="slow_module" if index < during else None)
        for index, sample in enumerate(seen(*["running"] * (during + other)))
    ]
    facts = overrun(cpu_seconds=1.0, samples=samples)
    assert cause(facts) == expected
    assert evidence(facts).get("module") == ("slow_module" if expected[0] == "import" else None)


def test_an_import_that_had_only_just_begun_is_not_believed_to_a_late_sample() -> None:
    """The interpreter came free when the import was entered: what held it came before."""
    entered = RawFrame(code("pass", "<frozen importlib._bootstrap>"), 0, "importlib._bootstrap")
    samples = [
        sample._replace(frames=(AT_WORK, entered), importing="json") for sample in seen("running", late=10 * LATE)
    ]
    assert cause(overrun(cpu_seconds=1.0, samples=samples)) == ("cpu", True)


def test_a_process_that_is_polled_for_its_output_is_waited_for_as_a_process() -> None:
    """``subprocess`` polls pipes, which the kernel calls by the same name as a network's poll."""
    frame = calls("selector.select()", "subprocess", "/usr/lib/python3/subprocess.py")
    facts = overrun(cpu_seconds=0.0, samples=seen("network", frame=frame))
    assert evidence(facts)["waited_for"] == "process"


def test_a_callable_of_c_is_the_call_itself() -> None:
    """It has no frame; the name of the callback tells what was called."""
    facts = overrun(cpu_seconds=0.0, samples=seen("sleep", frame=None), handle=HandleFacts("time.sleep"))
    assert (cause(facts), evidence(facts)["call"]) == (("wait", True), "time.sleep")


# --- what is done to the code ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queued", "cpu", "expected"),
    [
        (HALF, 0.4, ("unknown", False)),
        (HALF - TINY, 0.5, ("cpu", True)),
        (0.3, 0.31, ("cpu", True)),
        (0.31, 0.3, ("unknown", False)),
        (0.2, 0.39, ("unknown", False)),
        (0.9, 0.1, ("unknown", False)),
    ],
)
def test_who_had_to_wait_for_a_cpu_is_not_charged_with_that(
    queued: float, cpu: float, expected: tuple[str, bool]
) -> None:
    """A busy host is not the doing of the code that happened to run."""
    facts = overrun(cpu_seconds=cpu, queued_seconds=queued, samples=seen("running"))
    assert cause(facts) == expected
    assert evidence(facts).get("waited_for") == ("cpu" if queued + cpu >= MOSTLY and not expected[1] else None)


@pytest.mark.parametrize(
    ("activities", "queued", "expected"),
    [
        (("sleep",), 1.0, ("wait", True)),
        (("sleep", "sleep", "running"), 1.0, ("wait", True)),
        (("running", "running", "sleep"), 1.0, ("unknown", False)),
    ],
)
def test_who_is_seen_asleep_was_not_ready_for_a_cpu(activities: Any, queued: float, expected: tuple[str, bool]) -> None:
    """What was counted around the stall is a guess; the looks at it are none, where they came in time."""
    facts = overrun(1.0, seen(*activities), cpu_seconds=0.0, queued_seconds=queued)
    assert cause(facts) == expected
    assert evidence(facts)["queued_seconds"] == pytest.approx(1 - activities.count("sleep") / len(activities), abs=1e-5)
    late = overrun(1.0, seen(*activities, late=0.5), cpu_seconds=0.0, queued_seconds=queued)
    assert evidence(late)["queued_seconds"] == queued


@pytest.mark.parametrize(
    ("cpu", "queued", "expected"),
    [(0.05, 0.9, ("cpu", True)), (0.049, 0.9, ("unknown", False)), (0.05, HALF, ("cpu", True))],
)
def test_code_that_computes_for_the_threshold_is_charged_on_a_busy_host_too(
    cpu: float, queued: float, expected: tuple[str, bool]
) -> None:
    """It would have held the loop by itself."""
    facts = overrun(cpu_seconds=cpu, queued_seconds=queued, threshold=0.05, samples=seen("running"))
    assert cause(facts) == expected


def test_code_that_computes_for_the_threshold_is_charged_where_neither_half_is_reached() -> None:
    """Nearly all of the time on a CPU or in its queue, and a little more in the queue: still its own doing."""
    facts = overrun(cpu_seconds=0.46, queued_seconds=0.49, threshold=0.05, samples=seen("running"))
    assert cause(facts) == ("cpu", True)
    assert cause(overrun(cpu_seconds=0.46, queued_seconds=0.49, threshold=0.5, samples=seen("running"))) == (
        "unknown",
        False,
    )


def test_what_passes_between_two_steps_is_no_steps_doing() -> None:
    """Unless a step was seen in time all the same."""
    assert cause(overrun(between=True, cpu_seconds=1.0)) == ("unknown", False)
    assert evidence(overrun(between=True, cpu_seconds=1.0))["waited_for"] == "loop"
    assert cause(overrun(between=True, cpu_seconds=1.0, samples=seen("running"))) == ("cpu", True)
    assert cause(overrun(between=True, cpu_seconds=1.0, samples=seen("running", late=0.9))) == ("unknown", False)


@pytest.mark.parametrize(("until", "expected"), [(0.9, ("unknown", False)), (0.3, ("cpu", True))])
def test_a_step_is_not_charged_with_what_was_over_when_it_began(until: float, expected: tuple[str, bool]) -> None:
    """Where that was most of the time: the end of what the step before it was given may take long."""
    entered = RawFrame(AT_WORK.code, 0, AT_WORK.module)
    before = Sample(100.0 + until, 100.0, until, (entered,))
    after = Sample(101.0, 100.0, 0.0 if until > 0.5 else 1.0 - until, (AT_WORK,) if until < 0.5 else ())
    facts = overrun(cpu_seconds=1.0, samples=[before, after])
    assert cause(facts) == expected


def test_who_wants_the_interpreter_between_two_steps_lacks_that() -> None:
    """The loop itself does nothing then that anyone could mend."""
    facts = overrun(between=True, cpu_seconds=0.01, wakes=200.0, samples=seen("futex", frame=None))
    assert evidence(facts)["waited_for"] == "interpreter"


@pytest.mark.parametrize("kind", ["other", "sleep", "network"])
def test_who_computes_and_then_waits_has_not_asked_for_the_interpreter(kind: str) -> None:
    """Looks at a thread that computes take the interpreter from it: it is woken as often as one that lacks it."""
    facts = overrun(cpu_seconds=0.45, queued_seconds=0.0, wakes=60.0, samples=seen(*["futex"] * 5, *[kind] * 4))
    assert evidence(facts).get("waited_for") != "interpreter"
    assert evidence(facts)["interpreter_seconds"] < 0.15
    lacks = overrun(cpu_seconds=0.45, queued_seconds=0.0, wakes=60.0, samples=seen(*["futex"] * 8, kind))
    assert evidence(lacks)["waited_for"] == "interpreter"


def test_a_busy_host_goes_before_an_import() -> None:
    """A small import that gets no CPU is not to blame for it."""
    facts = overrun(cpu_seconds=0.1, queued_seconds=0.8, samples=seen("running", importing="json"))
    assert cause(facts) == ("unknown", False)


@pytest.mark.parametrize(
    ("stood", "cpu", "expected"),
    [
        (HALF, 0.4, ("suspended", False)),
        (HALF, None, ("suspended", False)),
        (HALF, HALF, ("cpu", True)),
        (HALF - TINY, 0.1, ("unknown", False)),
    ],
)
def test_a_process_that_stood_still_is_suspended(stood: float, cpu: float | None, expected: tuple[str, bool]) -> None:
    """Nobody is charged; a thread that computed half of the time cannot have stood still."""
    assert cause(overrun(suspended_seconds=stood, cpu_seconds=cpu)) == expected


def test_a_process_that_a_debugger_holds_is_in_the_debugger() -> None:
    """A tracer alone is no stop: only what stood still for half of the time is put down to it."""
    assert cause(overrun(suspended_seconds=0.9, traced=True, cpu_seconds=0.0)) == ("debugger", False)
    assert cause(overrun(suspended_seconds=0.1, traced=True, cpu_seconds=0.9)) == ("cpu", True)


@pytest.mark.parametrize("module", ["bdb", "pdb", "_pydevd_bundle.pydevd_frame", "debugpy.server", "IPython.terminal"])
def test_a_thread_in_a_debugger_is_not_stalled(module: str) -> None:
    """Wherever it stands in the stack, also deep below the user's code; other modules are no debugger."""
    deep = [calls("inner()", module)] + [calls("outer()", "cmd", "/usr/lib/python3/cmd.py")] * 20
    samples = [sample._replace(frames=(AT_WORK, *deep)) for sample in seen("file", "file")]
    expected = ("wait", True) if module == "IPython.terminal" else ("debugger", False)
    assert cause(overrun(cpu_seconds=0.0, samples=samples)) == expected


@pytest.mark.parametrize(("spent", "expected"), [(HALF, "gc"), (HALF - TINY, "cpu")])
def test_the_collector_must_have_run_for_half_of_the_time(spent: float, expected: str) -> None:
    """It is told before the cpu that it takes, and charges nobody."""
    facts = overrun(gc_seconds=spent, gc_generation=2, cpu_seconds=1.0, samples=seen("running"))
    assert cause(facts) == (expected, expected == "cpu")
    assert evidence(facts)["gc_generation"] == 2


def test_a_collection_that_code_asked_for_is_charged_to_it() -> None:
    """``gc.collect()`` is a call like any other; what runs by itself is nobody's doing."""
    asked = calls("gc.collect()")
    facts = overrun(gc_seconds=0.9, gc_frames=(asked,), cpu_seconds=1.0)
    assert cause(facts) == ("gc", True)
    assert evidence(facts)["call"] == "gc.collect"
    by_itself = overrun(gc_seconds=0.9, gc_frames=(AT_WORK,), cpu_seconds=1.0)
    assert cause(by_itself) == ("gc", False)
    assert "call" not in evidence(by_itself)


# --- asyncio's debug mode ----------------------------------------------------------------------


NOTES = calls("stack()", "asyncio.format_helpers", "/lib/asyncio/format_helpers.py", "extract_stack")
ASKS = calls("stack()", "traceback", "/lib/traceback.py", "extract_stack")
EXTRACTS = calls("gen()", "traceback", "/lib/traceback.py", "extract")
BY_HAND = calls("extract_stack()")
BY_HAND_TOO = calls("StackSummary.extract(walk_stack(None))")
MAKES = calls("note()", "asyncio.base_events", "/lib/asyncio/base_events.py", "call_at")


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ((AT_WORK, MAKES, NOTES), ("unknown", False)),
        ((AT_WORK, MAKES, ASKS), ("unknown", False)),  # a task or a future, which is of C
        ((AT_WORK, EXTRACTS), ("unknown", False)),  # a handle of uvloop's
        ((AT_WORK, ASKS), ("unknown", False)),  # a task or a future that a loop of uvloop's makes
        ((AT_WORK, BY_HAND, ASKS), ("wait", True)),  # own code asks for the stack
        ((AT_WORK, BY_HAND_TOO, EXTRACTS), ("wait", True)),
        ((AT_WORK, BY_HAND, ASKS, EXTRACTS), ("wait", True)),
        ((AT_WORK, MAKES), ("wait", True)),
    ],
)
@pytest.mark.parametrize("cpu", [0.0, 0.9])
def test_what_the_debug_mode_notes_is_not_charged_to_who_made_the_handle(
    frames: Any, expected: tuple[str, bool], cpu: float
) -> None:
    """It reads source files, in the middle of a step."""
    activity = "running" if cpu else "file"
    samples = [each._replace(frames=frames) for each in seen(activity, activity)]
    facts = overrun(1.0, samples, cpu_seconds=cpu)
    assert cause(facts) == (("cpu", True) if cpu and expected[1] else expected)
    assert (evidence(facts).get("waited_for") == "debug") is (not expected[1])
    other = overrun(1.0, [samples[0], *seen("file", "file", "file")[1:]], cpu_seconds=0.0)
    assert evidence(other)["waited_for"] == "file"  # less than half of the time
