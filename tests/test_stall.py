"""From the facts of an overrun to a stall in words: who is charged, how surely, and what is shown."""

from __future__ import annotations

import dis
from collections.abc import Sequence
from types import CodeType
from typing import Any

import pytest

from loopwatch.explain.culprit import OwnCode, Places
from loopwatch.explain.stall import explain_stall
from loopwatch.facts import UNKNOWN_CALLBACK, ContributorFacts, HandleFacts, Overrun, RawFrame, Sample
from loopwatch.model import Contributor, Stall
from loopwatch.report.text import details, headline

OWN = OwnCode(places=Places(("/usr/lib/python3",), ("/site",), ("/loopwatch",)))
LATE = 0.5

SOURCE = """
def {name}():
    first()
    second()
    a = b * b
    third()
"""


def function(name: str, file: str) -> CodeType:
    namespace: dict[str, Any] = {}
    exec(compile(SOURCE.format(name=name), file, "exec"), namespace)
    made: CodeType = namespace[name].__code__
    return made


def frame(code: CodeType, line: int, module: str) -> RawFrame:
    """The frame at the call of a line (the lines of SOURCE: 3 to 6), at its last instruction where it calls nothing."""
    spans = [(start, end) for start, end, number in code.co_lines() if number == line]
    inside = [each for each in dis.get_instructions(code) if any(a <= each.offset < b for a, b in spans)]
    calls = [each for each in inside if each.opname.startswith("CALL")]
    return RawFrame(code, (calls or inside)[-1].offset, module)


VIEW = function("view", "/app/shop/views.py")
MODEL = function("model", "/app/shop/models.py")
FETCH = function("fetch", "/site/client/api.py")
RECV = function("recv", "/usr/lib/python3/socket.py")


def view(line: int = 3) -> RawFrame:
    return frame(VIEW, line, "shop.views")


def model(line: int = 3) -> RawFrame:
    return frame(MODEL, line, "shop.models")


FETCHING = frame(FETCH, 4, "client.api")
RECEIVING = frame(RECV, 4, "socket")


def sample(at: float, *frames: RawFrame, late: float = 0.0, **facts: Any) -> Sample:
    return Sample(100.0 + at, 100.0, late, frames, **facts)


def overrun(samples: Sequence[Sample] = (), kind: Any = "step", **facts: Any) -> Overrun:
    facts.setdefault("handle", HandleFacts("view", "Task-1", "view", VIEW, "shop.views"))
    facts.setdefault("cpu_seconds", 1.0)
    facts.setdefault("ended", 101.0)
    return Overrun(
        id="1-1", kind=kind, loop="main", thread="MainThread", started=100.0, seen=101.0, started_at=1.7e9,
        samples=tuple(samples), **facts,
    )  # fmt: skip


def explain(*samples: Sample, **facts: Any) -> Stall:
    return explain_stall(overrun(samples, **facts), OWN)


def culprit(stall: Stall) -> tuple[str, int] | None:
    return (stall.culprit.function, stall.culprit.line) if stall.culprit else None


# --- who ---------------------------------------------------------------------------------------


def test_the_innermost_own_frame_is_charged_and_the_stack_is_kept() -> None:
    """Libraries called by own code are shown, not charged."""
    stall = explain(sample(0.5, view(4), FETCHING, RECEIVING))
    assert culprit(stall) == ("view", 4)
    assert [each.function for each in stall.stack] == ["view", "fetch", "recv"]


def test_own_code_that_a_library_calls_back_is_charged() -> None:
    """The library around it is not."""
    assert culprit(explain(sample(0.5, FETCHING, model(5), RECEIVING))) == ("model", 5)


def test_without_own_code_the_outermost_library_frame_is_charged() -> None:
    """It is what the loop entered."""
    assert culprit(explain(sample(0.5, FETCHING, RECEIVING))) == ("fetch", 4)


def test_most_of_the_time_decides_and_not_most_of_the_samples() -> None:
    """The first of these lines was seen nine times in a tenth of a second, the second once in all the rest."""
    early = [sample(0.01 * index, view(3)) for index in range(1, 10)]
    assert culprit(explain(*early, sample(0.6, view(4)))) == ("view", 4)


def test_first_the_function_is_found_and_then_its_line() -> None:
    """Two lines of one function outweigh the one line of another."""
    lines = (sample(0.1, view(3)), sample(0.3, model(3)), sample(0.7, view(4)), sample(0.9, view(6)))
    assert culprit(explain(*lines)) == ("view", 4)


def test_the_stack_shown_is_one_in_which_the_charged_line_was_seen() -> None:
    """Not the last one of all, which may show other code."""
    stall = explain(sample(0.2, view(4), FETCHING), sample(0.5, view(4), RECEIVING), sample(0.95, model(3)))
    assert culprit(stall) == ("view", 4)
    assert [each.function for each in stall.stack] == ["view", "recv"]


def test_nobody_is_charged_with_what_was_done_to_the_code() -> None:
    """The stack that was seen is shown all the same."""
    stall = explain(sample(0.5, view(3)), cpu_seconds=0.0, suspended_seconds=0.9)
    assert (stall.cause, stall.culprit, stall.site) == ("suspended", None, "(suspended)")
    assert [each.function for each in stall.stack] == ["view"]
    assert "certain" not in stall.evidence


def test_the_remedy_is_for_what_the_culprit_called_and_not_for_what_called_it() -> None:
    """Own code under a client's hook waits by its own doing: another client would not help."""
    outer = frame(FETCH, 4, "redis.asyncio.client")
    waited = {"cpu_seconds": 0.0, "handle": HandleFacts("hook")}
    under = explain(sample(0.5, outer, view(4), activity="network"), **waited)
    assert "redis" not in under.remedy
    above = explain(sample(0.5, view(4), frame(FETCH, 4, "redis.client"), activity="network"), **waited)
    assert "redis.asyncio" in above.remedy
    alone = explain(sample(0.5, frame(FETCH, 4, "redis.client"), activity="network"), **waited)
    assert "redis.asyncio" in alone.remedy


def test_what_called_the_collector_is_charged_with_the_collection() -> None:
    """Its stack is the one in which the collection was set off, also in another thread."""
    namespace: dict[str, Any] = {}
    exec(compile("import gc\ndef tidy():\n    gc.collect()\n", "/app/shop/tidy.py", "exec"), namespace)
    code = namespace["tidy"].__code__
    call = [each.offset for each in dis.get_instructions(code) if each.opname.startswith("CALL")][-1]
    asked = (view(4), RawFrame(code, call, "shop.tidy"))
    stall = explain(sample(0.9, view(5), late=LATE), gc_seconds=0.9, gc_frames=asked, gc_elsewhere=True)
    assert (stall.cause, culprit(stall)) == ("gc", ("tidy", 3))
    assert [each.function for each in stall.stack] == ["view", "tidy"]
    assert stall.evidence["gc_elsewhere"] is True
    assert "gc.collect()" in stall.remedy
    by_itself = explain(sample(0.9, view(5)), gc_seconds=0.9, gc_frames=(view(5),))
    assert (by_itself.cause, by_itself.culprit, by_itself.site) == ("gc", None, "(gc)")


# --- how surely --------------------------------------------------------------------------------


@pytest.mark.parametrize(("late", "certain"), [(0.0, True), (0.01, True), (LATE, False)])
def test_a_late_sample_is_never_a_fact(late: float, certain: bool) -> None:
    """What held the interpreter may have been the line before, or a function that has returned."""
    stall = explain(sample(0.9, view(5), late=late))
    assert culprit(stall) == ("view", 5)
    assert stall.evidence.get("certain", True) is certain


def test_a_sample_in_time_stands_only_for_its_own_time() -> None:
    """A short beginning that was seen is not charged with a long rest that was not."""
    stall = explain(sample(0.1, model(3)), sample(1.0, view(5), late=0.85))
    assert culprit(stall) == ("view", 5)
    assert stall.evidence["certain"] is False


def test_most_of_the_evidence_in_time_makes_it_certain() -> None:
    """A late sample that says the same takes nothing from it, one of another function neither."""
    same = explain(sample(0.3, view(3)), sample(0.6, view(3)), sample(1.0, view(3), late=0.3))
    assert (culprit(same), "certain" in same.evidence) == (("view", 3), False)
    other = explain(sample(0.3, view(3)), sample(0.6, view(3)), sample(1.0, model(3), late=0.3))
    assert (culprit(other), "certain" in other.evidence) == (("view", 3), False)


def test_a_function_that_had_only_just_been_entered_is_not_charged() -> None:
    """Threads give up the interpreter where functions begin: it says nothing of the function."""
    entered = RawFrame(MODEL, 0, "shop.models")
    stall = explain(sample(0.9, view(5), entered))
    assert culprit(stall) == ("view", 5)
    assert [each.function for each in stall.stack] == ["view"]


def test_a_step_that_was_over_before_it_could_be_seen_is_charged_with_doubt() -> None:
    """It, or what it called, held the interpreter to its end: the function is known, its line is not."""
    stall = explain(sample(1.0, late=0.9))
    assert culprit(stall) == ("view", 2)
    assert stall.evidence["certain"] is False
    assert stall.cause == "cpu"
    assert "call" not in stall.evidence


def test_a_step_that_nobody_saw_is_charged_with_doubt() -> None:
    """Likewise where no sample was taken at all."""
    stall = explain()
    assert (culprit(stall), stall.evidence["certain"]) == (("view", 2), False)


def test_where_nobody_saw_it_at_work_no_line_is_shown_as_the_place() -> None:
    """It is told as what the loop called, and its first line is not pictured as if it had stood there."""
    for samples in ((), (sample(0.3, view(5)), sample(1.0, late=0.7))):
        stall = explain(*samples)
        assert (stall.stack, stall.evidence["place"]) == ((), "unknown")
        told = "\n".join([headline(stall), *details(stall)])
        assert "during a step of shop.views.view (" in told
        assert "> File" not in told
    assert "place" not in explain(sample(1.0, view(5), late=0.7)).evidence
    assert explain(cpu_seconds=None).cause == "unknown"


def test_the_module_of_a_coroutine_that_has_ended_is_found_by_its_file() -> None:
    """The coroutine itself does not tell it any more."""
    here = test_the_module_of_a_coroutine_that_has_ended_is_found_by_its_file.__code__
    stall = explain(handle=HandleFacts("view", "Task-1", "view", here))
    assert stall.culprit is not None and stall.culprit.module == __name__


@pytest.mark.parametrize(
    "handle",
    [
        HandleFacts("time.sleep"),
        HandleFacts("asyncio.selector_events._SelectorSocketTransport._read_ready", None, None, RECV, "asyncio.x"),
    ],
    ids=["C", "asyncio"],
)
def test_without_a_frame_c_and_asyncio_are_told_as_the_callback(handle: HandleFacts) -> None:
    """There is no line to name, or none that the user could change."""
    for samples in ((), (sample(1.0, late=0.9),)):
        stall = explain(*samples, handle=handle)
        assert (stall.culprit, stall.callback, stall.site) == (None, handle.callback, handle.callback)


# --- turns -------------------------------------------------------------------------------------


def crowd(*samples: Sample, **facts: Any) -> Stall:
    handle = HandleFacts("many callbacks")
    return explain(*samples, kind="turn", steps=200, handle=handle, **facts)


def test_a_turn_names_the_function_that_made_most_of_it() -> None:
    """Two thirds of the time were seen in one function; no task is named, since there were many."""
    stall = crowd(sample(0.2, view(3), task="Task-7"), sample(0.5, view(4)), sample(0.9, model(3)))
    assert culprit(stall) is not None and stall.culprit is not None and stall.culprit.function == "view"
    assert (stall.task, stall.coroutine, stall.callback) == (None, None, "many callbacks")


def test_a_turn_of_many_different_callbacks_has_no_single_culprit() -> None:
    """Nobody made half of it; the contributors are told."""
    mixed = (sample(0.2, view(3)), sample(0.5, model(3)), sample(0.9, FETCHING))
    stall = crowd(*mixed, contributors=(ContributorFacts("shop.view", 70, 0.34),))
    assert stall.culprit is None
    assert stall.contributors == (Contributor("shop.view", 70, 0.34),)
    assert (stall.kind, stall.steps) == ("turn", 200)
    assert "batches" in stall.remedy


def test_a_turn_that_lasts_has_the_remedy_that_it_will_have_at_its_end() -> None:
    """Nobody has counted its callbacks yet, and the log calls them many all the same."""
    looks = [sample(0.2 * index, view(3), activity="running") for index in range(1, 5)]
    lasts, over = explain(*looks, kind="turn", ended=None), crowd(*looks)
    assert lasts.in_progress and lasts.remedy == over.remedy
    assert "batches" in over.remedy


def test_a_turn_seen_by_chance_in_one_of_its_callbacks_charges_nobody() -> None:
    """The stopwatch knows that this callback made an eighth of it."""
    seen = (sample(0.3, view(3)), sample(0.6, view(3)), sample(0.9, model(3)))
    eighths = tuple(ContributorFacts(name, 5, 0.125) for name in ("view", "model", *"abcdef"))
    assert crowd(*seen, contributors=eighths).culprit is None
    without = tuple(each for each in eighths if each.name not in ("c", "d", "e", "f"))
    stall = crowd(*seen, contributors=without)  # half of it went to callbacks too short to be kept by name
    assert stall.culprit is not None and stall.culprit.function == "view"


def test_a_turn_that_nobody_saw_charges_nobody() -> None:
    """A step's function is known without samples, that of two hundred steps is not."""
    assert crowd().culprit is None
    assert crowd(sample(1.0, late=0.9)).culprit is None


def test_a_turn_that_nobody_saw_charges_what_took_half_of_it_by_the_stopwatch() -> None:
    """Where equal steps were kept by name, how long they took together is known without a look."""
    code = view(3).code
    for samples in ((), (sample(1.0, late=0.9),)):
        stall = crowd(*samples, contributors=(ContributorFacts("view", 150, 0.5, code),))
        assert stall.culprit is not None
        assert (stall.culprit.function, stall.culprit.line) == ("view", code.co_firstlineno)
        assert (stall.callback, stall.task, len(stall.stack)) == ("many callbacks", None, 0)
        assert crowd(*samples, contributors=(ContributorFacts("view", 150, 0.49, code),)).culprit is None
    assert crowd(contributors=(ContributorFacts("time.sleep", 150, 0.9),)).culprit is None
    gainsaid = crowd(sample(0.5, model(3)), contributors=(ContributorFacts("view", 150, 0.6, code),))
    assert gainsaid.culprit is not None and gainsaid.culprit.function == "view"


# --- what is told ------------------------------------------------------------------------------


def test_the_task_seen_goes_before_the_task_of_the_step() -> None:
    """An eager task runs inside the step of another."""
    stall = explain(sample(0.5, view(3), task="inner", coroutine="view.inner"))
    assert (stall.task, stall.coroutine, stall.callback) == ("inner", "view.inner", "view")
    outer = explain(sample(0.5, view(3)))
    assert (outer.task, outer.coroutine) == ("Task-1", "view")


def test_a_handle_that_has_forgotten_its_callback_is_told_by_the_frame() -> None:
    """A reader that removes itself is cancelled while it runs."""
    seen = explain(sample(0.5, model(3), view(4)), handle=HandleFacts(UNKNOWN_CALLBACK))
    assert seen.callback == "shop.models.model"
    assert explain(handle=HandleFacts(UNKNOWN_CALLBACK)).callback == UNKNOWN_CALLBACK


def test_the_profile_is_the_share_of_the_time() -> None:
    """From three samples on, the most first, at most five stacks, and two offsets of one line are one stack."""
    stall = explain(sample(0.2, view(3)), sample(0.4, view(3)), sample(0.8, view(4), FETCHING))
    assert [(share.stack[-1].function, round(share.share, 2)) for share in stall.profile] == [
        ("view", 0.6),
        ("fetch", 0.4),
    ]
    assert explain(sample(0.2, view(3)), sample(0.8, view(4))).profile == ()
    many = [sample(index / 10, frame(function(f"f{index}", "/app/f.py"), 3, "f")) for index in range(9)]
    assert len(explain(*many).profile) == 5
    loads = view(4)._replace(lasti=view(4).lasti - 2)
    offsets = [view(4), loads, view(4)]
    (only,) = explain(*(sample(0.3 * index, each) for index, each in enumerate(offsets))).profile
    assert only.share == pytest.approx(1.0)


def test_a_stall_in_progress_says_so() -> None:
    """It has no end yet: its duration is the age at which it was seen."""
    stall = explain(sample(0.5, view(3)), ended=None)
    assert (stall.in_progress, stall.duration) == (True, 1.0)


def test_the_call_is_named_for_computations_too() -> None:
    """As it is written in the frame that was seen."""
    assert explain(sample(0.5, view(4))).evidence["call"] == "second"


def test_what_set_off_the_collector_is_shown() -> None:
    """The remedy is for the longest collection; a look may have met another one, which code had called."""
    by_itself = explain(sample(0.9, view(5)), gc_seconds=0.9, gc_frames=(model(4),))
    assert by_itself.culprit is None and [each.function for each in by_itself.stack] == ["model"]
    unknown = explain(sample(0.9, view(5)), gc_seconds=0.9)
    assert [each.function for each in unknown.stack] == ["view"]


def test_the_stack_shows_the_import_that_is_named() -> None:
    """A library's one line imports many modules in turn: the last look may have met another than the longest."""
    find = RawFrame(compile("def _find(): pass", "<frozen importlib._bootstrap>", "exec").co_consts[0], 0, "importlib")
    long, short = frame(MODEL, 5, "http.auto"), frame(MODEL, 6, "ws.auto")
    samples = [sample(0.2 * at, FETCHING, find, long, importing="http.auto") for at in range(1, 4)]
    stall = explain(*samples, sample(0.8, FETCHING, find, short, importing="ws.auto"))
    assert (stall.cause, stall.evidence["module"]) == ("import", "http.auto")
    assert stall.stack[-1].module == "http.auto"
