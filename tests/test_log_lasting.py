"""The log reporter over time: what lasts is told short after the first time, and a broken log is survived."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from loopwatch.model import Stall
from loopwatch.report.text import headline, render
from tests.made_events import CHECKOUT, SEND
from tests.made_logs import EVENTS, Log, backlog, stall


def lasting(duration: float, **changes: Any) -> Stall:
    return stall(duration=duration, in_progress=True, **changes)


def test_what_lasts_is_told_whole_once_and_then_in_a_line(log: Log) -> None:
    """A stall in progress is told with its stack the first time; again and at its end it is one line."""
    log.report(lasting(0.5))
    log.report(lasting(1.0))
    log.report(lasting(2.0))
    log.report(stall(duration=2.7))
    assert log.take() == [
        render(lasting(0.5)),
        headline(lasting(1.0)),
        headline(lasting(2.0)),
        headline(stall(duration=2.7)),
    ]


def test_a_backlog_that_lasts_shows_its_workers_once(log: Log) -> None:
    """The same for a backlog: no stack of a worker is told twice."""
    for event in (backlog(in_progress=True, duration=0.5), backlog(in_progress=True, duration=1.0), backlog()):
        log.report(event)
    told = log.take()
    assert len(told) == 3
    assert "\n".join(told).count('File "/srv/shop/db.py", line 7, in send') == 1


@pytest.mark.parametrize(
    "end",
    [stall(culprit=SEND), stall(cause="wait"), backlog(self_deadlock=True), backlog(culprit=CHECKOUT)],
    ids=["another culprit", "another cause", "a deadlock", "another site"],
)
def test_an_end_that_says_something_else_is_told_whole(log: Log, end: Any) -> None:
    """What was thought of it while it lasted may turn out to be wrong."""
    log.report(lasting(0.5) if isinstance(end, Stall) else backlog(in_progress=True))
    log.report(end)
    assert log.take()[1] == render(end)


def test_another_remedy_is_told_with_the_line(log: Log) -> None:
    """Where only the advice has changed, that is what is added."""
    log.report(lasting(0.5))
    log.report(stall(remedy="Do nothing."))
    assert log.take()[1] == headline(stall()) + "\n  Remedy: Do nothing."


def test_long_stalls_that_repeat_are_limited_like_others(log: Log) -> None:
    """Each is told while it lasts and when it ends: only the first of them, or there would be no limit."""
    for number in range(5):
        log.report(lasting(0.5, id=str(number)))
        log.report(lasting(1.0, id=str(number)))
        log.report(stall(id=str(number), duration=1.2))
    assert [line.splitlines()[0] for line in log.take()] == [
        headline(lasting(0.5)),
        headline(lasting(1.0)),
        headline(stall(duration=1.2)),
    ]


def test_each_long_stall_is_counted_once(log: Log) -> None:
    """However often it would have been told while it lasted, it is one that was left out."""
    log.report(stall(id="first"))
    for number in range(3):
        log.report(lasting(0.5, id=str(number)))
        log.report(lasting(1.0, id=str(number)))
        log.report(stall(id=str(number), duration=1.2))
    log.take()
    log.clock.advance(60.0)
    log.report(stall(id="last"))
    assert log.take() == [render(stall(suppressed=3))]


def test_a_deadlock_is_told_although_its_site_was_told_just_before(log: Log) -> None:
    """It starts like any other long stall, and is told as soon as it is much worse than those."""
    log.report(stall(id="short", duration=0.3))
    for duration in (0.5, 1.0, 2.0, 4.0, 8.0):
        log.report(lasting(duration, id="never ends"))
    told = log.take()
    assert told[1:] == [render(lasting(4.0)), headline(lasting(8.0))]


def test_what_was_told_while_it_lasted_is_owed_its_end(log: Log) -> None:
    """Within the interval or after it, whoever was told that it lasts is told when it is over."""
    for pause in (1.0, 500.0):
        log.report(lasting(0.5))
        log.clock.advance(pause)
        log.report(stall())
        log.clock.advance(60.0)
    assert len(log.take()) == 4


def test_the_end_of_one_tells_of_those_left_out_meanwhile(log: Log) -> None:
    """Two loops may be held at the same site at once."""
    log.report(lasting(0.5, id="a"))
    log.report(stall(id="b"))
    log.report(stall(id="a"))
    assert log.take()[1] == headline(stall()) + "\n  (1 more like this since it was last told)"


# --- loggers that do not work ---


def test_a_logger_that_is_off_costs_nothing(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """No text is made, no source is read, and nothing counts as told."""
    monkeypatch.setattr(log.logger, "isEnabledFor", lambda level: False)
    monkeypatch.setattr("loopwatch.report.log.render", lambda event: pytest.fail("a text was made"))
    log.report(stall())
    monkeypatch.undo()
    log.report(stall())
    assert log.take() == [render(stall())]


def test_without_any_handler_it_goes_to_stderr(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    """A program that has set up no logging still sees its warnings: that is what logging's last resort is for."""
    log.logger.removeHandler(log)
    log.report(stall())
    assert capsys.readouterr().err == render(stall()) + "\n"


class Broken(logging.Handler):
    """A handler of the application's that fails as none should."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def emit(self, record: logging.LogRecord) -> None:
        raise self.error


def test_a_handler_that_raises_is_said_once_and_survived(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    """The reporter is not lost by it: handlers that work get every event."""
    log.logger.addHandler(Broken(RuntimeError("no disk")))
    for event in EVENTS:
        log.report(event)
    assert len(log.take()) == 3
    assert capsys.readouterr().err.splitlines() == [
        "loopwatch: the logger 'shop' could not take an event: RuntimeError: no disk (told only once)"
    ]


@pytest.mark.parametrize("stderr", [None, "closed"])
def test_where_nobody_can_be_told_it_goes_on(log: Log, monkeypatch: pytest.MonkeyPatch, stderr: str | None) -> None:
    """A daemon may have no stderr, or a closed one."""
    log.logger.addHandler(Broken(RuntimeError("no disk")))
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if stderr else None)
    for event in EVENTS:
        log.report(event)
    assert len(log.take()) == 3


def test_a_handler_that_is_closed_does_no_harm(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    """Logging itself says so on stderr, and the reporter goes on."""
    stream = io.StringIO()
    log.logger.addHandler(logging.StreamHandler(stream))
    stream.close()
    for event in EVENTS:
        log.report(event)
    assert len(log.take()) == 3
    assert "Logging error" in capsys.readouterr().err


def test_an_end_of_the_program_is_not_held_up(log: Log) -> None:
    """Only errors are survived: who says that all is over is heard."""
    log.logger.addHandler(Broken(SystemExit(3)))
    with pytest.raises(SystemExit):
        log.report(stall())
