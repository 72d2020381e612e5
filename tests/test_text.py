"""What is true of every event that is told: nothing need be known, nothing can be forged, nothing is said twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.model import Backlog, Event, Holder, Offload, Stall
from loopwatch.report.text import headline, render, retell, seconds
from tests.made_events import backlog, frame, offload, stall

BARE: list[Event] = [
    Stall(id="", kind="step", duration=0.0, started_at=0.0, loop="", thread=""),
    Stall(id="", kind="turn", duration=0.0, started_at=0.0, loop="", thread="", in_progress=True),
    Backlog(id="", executor="", workers=0, depth=0, waited=0.0, duration=0.0, started_at=0.0, jobs=0),
    Offload(site="", target="", executor="", jobs=0, wait_seconds=0.0, run_seconds=0.0, cpu_seconds=None),
]


def test_an_event_with_every_optional_field_empty_can_be_told() -> None:
    """Whatever could not be seen, something is said."""
    assert [render(event) for event in BARE] == [
        "Event loop '' was held 0 ms during a callback (cause: unknown).",
        "Event loop '' has been held for 0 ms so far by many callbacks in one turn (cause: unknown).",
        "Thread pool '' had no free worker for 0 ms.",
        "Undecided:  ran 0 jobs in thread pool '', which took 0 ms.\n  It ran .",
    ]


@pytest.mark.parametrize("event", [stall(), backlog(), offload()], ids=["stall", "backlog", "offload"])
def test_what_was_left_out_is_counted(event: Any) -> None:
    """The last line says how many equal findings a reporter left out before this one."""
    assert render(replace(event, suppressed=3)) == render(event) + "\n  (3 more like this since it was last told)"


@pytest.mark.parametrize("event", [stall(), backlog(), offload()], ids=["stall", "backlog", "offload"])
def test_what_is_told_again_is_short(event: Any) -> None:
    """Only the first line, and what is new of the rest: another remedy, or findings that were left out."""
    event = replace(event, remedy="Do less.")
    assert retell(event, "Do less.") == headline(event)
    assert retell(event, "Do more.") == f"{headline(event)}\n  Remedy: Do less."
    assert retell(replace(event, suppressed=1), "Do less.").endswith("\n  (1 more like this since it was last told)")


def test_a_name_cannot_forge_a_line() -> None:
    """Names of tasks may come from a request: each stays on its line, shows what it is, and has an end."""
    forged = stall(task="x\nCRITICAL all is lost\x1b[31m\u202e\udc80", loop="ü" * 5000)
    lines = render(forged).splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(r"Task 'x\nCRITICAL all is lost\x1b[31m\u202e\udc80'.")
    assert f"'{'ü' * 77}...'" in lines[0]
    assert len(render(stall(callback="f" * 5000, coroutine=None, task="last")).splitlines()[0]) == 1000


@given(name=st.text(), executor=st.text(), function=st.text(), remedy=st.text())
def test_whatever_things_are_called_a_text_is_printable(name: str, executor: str, function: str, remedy: str) -> None:
    """Each line is one line, and can be written to any stream that takes what people read."""
    named = frame(function, 3, f"/{name}")
    for event in (
        stall(task=name, loop=name, culprit=named, stack=(named,), remedy=remedy),
        backlog(executor=executor, culprit=named, holders=(Holder(name, name, name, 0.1, (named,)),), remedy=remedy),
        offload(executor=executor, target=name, wrapper=named, remedy=remedy),
    ):
        told = render(event)
        assert told.replace("\n", "").isprintable()
        told.encode("utf-8")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0 ms"), (0.00004, "0.04 ms"), (0.00164, "1.64 ms"), (0.02, "20 ms"), (0.0994, "99.4 ms"),
        (0.0996, "100 ms"), (0.352, "352 ms"), (0.9994, "999 ms"), (0.9996, "1 s"), (2.4, "2.4 s"), (99.4, "99.4 s"),
        (99.6, "100 s"), (352.4, "352 s"), (720.0, "12 min"), (7200.0, "120 min"),
    ],
)  # fmt: skip
def test_durations_are_said_as_people_say_them(value: float, said: str) -> None:
    """Three digits at most, in the unit that fits."""
    assert seconds(value) == said
