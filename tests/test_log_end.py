"""The log reporter at the end of a watch: what it kept back is told in one line, and nothing else."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.model import Frame
from tests.made_events import CHECKOUT, SEND
from tests.made_logs import EVENTS, Log, backlog, offload, stall


def repeat(log: Log, times: int, event: Any) -> None:
    """One that is told, and so many more."""
    for _ in range(1 + times):
        log.report(event)


def test_what_was_kept_back_is_told_in_one_line(log: Log) -> None:
    """How often which thing happened where, the commonest first, in words and in fields."""
    repeat(log, 2, stall(culprit=SEND, cause="wait"))
    repeat(log, 12, stall())
    repeat(log, 3, backlog())
    repeat(log, 1, offload())
    log.take()
    log.report.finish()
    (record,) = log.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        "Not told again, since equal findings had been told: 12 x shop.views.checkout:42 (cpu), "
        "3 x shop.db.send:7 (backlog), 2 x shop.db.send:7 (wait), 1 x shop.db.get:5 (simulated async)."
    )
    fields: Any = record
    assert (fields.loopwatch_event, fields.loopwatch_suppressed) == ("not told", 18)
    assert fields.loopwatch["findings"][0] == {"cause": "cpu", "site": "shop.views.checkout:42", "suppressed": 12}


def test_where_nothing_was_kept_back_nothing_is_told(log: Log) -> None:
    """No event, each event once, or what was left out has been told of since: then the end is silent."""
    log.report.finish()
    for event in EVENTS:
        log.report(event)
    repeat(log, 2, stall(cause="wait"))
    log.clock.advance(61.0)
    log.report(stall(cause="wait"))
    log.take()
    log.report.finish()
    assert log.take() == []


def test_what_the_loop_lacked_is_no_other_lack_and_goes_by_its_name(log: Log) -> None:
    """A wait for the interpreter keeps no wait for a CPU back, and at the end each is told as its line told it."""
    lacks = [stall(culprit=None, cause="unknown", evidence={"waited_for": what}) for what in ("interpreter", "cpu")]
    repeat(log, 2, lacks[0])
    repeat(log, 1, lacks[1])
    assert len(log.take()) == 2
    log.report.finish()
    (line,) = log.take()
    assert "2 x checkout (a wait for the interpreter), 1 x checkout (the host was busy)" in line


def test_an_end_is_told_once(log: Log) -> None:
    """After it the reporter begins anew, with nothing told and nothing kept back."""
    repeat(log, 2, stall())
    log.report.finish()
    log.take()
    log.report.finish()
    log.report(stall())
    log.report.finish()
    assert [line.splitlines()[0] for line in log.take()] == [
        "Event loop 'main' was held 200 ms by shop.views.checkout:42 (cause: cpu)."
    ]


def test_many_sites_are_cut_short_and_counted(log: Log) -> None:
    """Eight sites are named; the line has an end, and no finding is forgotten."""
    for number in range(20):
        repeat(log, 20 - number, stall(culprit=Frame("shop", f"f{number}", "/srv/shop.py", 1)))
    log.take()
    log.report.finish()
    (line,) = log.take()
    assert line.count(" x shop.f") == 8
    assert line.endswith(f"13 x shop.f7:1 (cpu), {sum(range(1, 13))} x at other sites.")


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 40)), max_size=40))
def test_every_finding_is_told_or_counted_by_the_end(happened: list[tuple[int, float]]) -> None:
    """What was told, what was counted with a later one, and what the end tells add up to all there was."""
    log = Log()
    for site, pause in happened:
        log.report(stall(culprit=[CHECKOUT, SEND][site % 2], cause=["cpu", "wait", "import"][site % 3]))
        log.clock.advance(pause)
    told = len(log.records)
    log.report.finish()
    assert told + sum(record.loopwatch["suppressed"] for record in log.records) == len(happened)  # type: ignore[attr-defined]


def test_sites_that_had_to_be_forgotten_are_counted_too(log: Log) -> None:
    """Its memory has an end, but what was kept back of a site that was pushed out is in the sum."""
    repeat(log, 7, stall())
    for number in range(2000):
        log.report(stall(culprit=Frame("shop", f"f{number}", "/srv/shop.py", 1)))
    log.take()
    log.report.finish()
    assert log.take() == ["Not told again, since equal findings had been told: 7 x."]


def test_a_forked_child_does_not_tell_what_its_parent_kept_back(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each process tells its own: otherwise every worker would repeat the findings of the one it came from."""
    repeat(log, 3, stall())
    log.take()
    monkeypatch.setattr(os, "getpid", lambda: -1)  # what a child finds
    log.report.finish()
    assert log.take() == []
    monkeypatch.undo()
    repeat(log, 3, stall())
    log.take()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    log.report(stall())
    log.report.finish()
    assert [line.splitlines()[0] for line in log.take()] == [
        "Event loop 'main' was held 200 ms by shop.views.checkout:42 (cause: cpu)."
    ]


def test_an_end_that_cannot_be_told_harms_nobody(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    """A logger that is off is told nothing, and a handler that raises is survived."""
    repeat(log, 2, stall())
    log.take()
    log.logger.disabled = True
    log.report.finish()
    assert log.take() == []
    log.logger.disabled = False
    repeat(log, 2, stall())
    log.logger.addFilter(lambda record: bool(1 / 0))
    log.report.finish()
    assert "the logger 'shop' could not take an event: ZeroDivisionError" in capsys.readouterr().err
