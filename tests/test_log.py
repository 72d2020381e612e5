"""The log reporter: one WARNING an event, repeats counted instead of told, and no logger that could harm it."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.errors import SettingsError
from loopwatch.model import Event, Frame
from loopwatch.report.log import LogReporter
from loopwatch.report.text import render
from tests.made_events import CHECKOUT, SEND
from tests.made_logs import EACH, Log, backlog, offload, stall

# --- a record ---


@EACH
def test_each_event_is_one_warning_with_its_whole_text(log: Log, event: Event) -> None:
    """Level WARNING, the text of the event, and nothing else."""
    log.report(event)
    assert [(record.levelname, record.getMessage()) for record in log.records] == [("WARNING", render(event))]


def test_the_default_logger_is_called_loopwatch(caplog: pytest.LogCaptureFixture) -> None:
    """Where no logger is given it is the one that the manual names."""
    LogReporter()(stall())
    assert [record.name for record in caplog.records] == ["loopwatch"]


def test_a_logger_that_a_configuration_disabled_is_enabled_again_and_says_so(log: Log) -> None:
    """``logging.config`` disables, by default, each logger that it is not told of; a second time is somebody's wish."""
    log.logger.disabled = True
    log.report(stall())
    said, told = log.take()
    assert "logger 'shop' was disabled" in said and told == render(stall())
    log.logger.disabled = True
    log.report(offload())
    assert log.take() == [] and log.logger.disabled


def test_a_logger_that_was_disabled_before_stays_so() -> None:
    """Its owner knew what it would do."""
    logger = logging.Logger("shop")
    logger.disabled = True
    LogReporter(logger)(stall())
    assert logger.disabled


def test_a_percent_sign_is_text(log: Log) -> None:
    """Names are told as they are: the message is no format."""
    log.report(stall(task="100%s %d"))
    assert log.take()[0].splitlines()[0].endswith("Task '100%s %d'.")


class Json(logging.Formatter):
    """What JSON formatters do: the message, and every attribute that a plain record does not have."""

    PLAIN = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        extra = {name: value for name, value in vars(record).items() if name not in self.PLAIN}
        return json.dumps({"message": record.getMessage(), "level": record.levelname, **extra}, allow_nan=False)


def as_json(log: Log, event: Event) -> dict[str, Any]:
    log.report(event)
    found: dict[str, Any] = json.loads(Json().format(log.records[-1]))
    return found


def test_a_stall_has_its_fields_for_json(log: Log) -> None:
    """A formatter that writes what it finds writes all of the event, and its commonest fields by themselves."""
    event = stall(evidence={"ratio": float("nan")})
    assert as_json(log, event) == {
        "message": render(event),
        "level": "WARNING",
        "loopwatch": event.to_dict(),
        "loopwatch_event": "stall",
        "loopwatch_id": "1",
        "loopwatch_site": "shop.views.checkout:42",
        "loopwatch_cause": "cpu",
        "loopwatch_duration": 0.2,
        "loopwatch_loop": "main",
        "loopwatch_in_progress": False,
        "loopwatch_suppressed": 0,
    }


def test_a_backlog_has_its_fields_for_json(log: Log) -> None:
    """The same for a backlog, which has an executor and no loop."""
    found = as_json(log, backlog(in_progress=True))
    assert found.pop("loopwatch") == backlog(in_progress=True).to_dict()
    assert {name: value for name, value in found.items() if name.startswith("loopwatch")} == {
        "loopwatch_event": "backlog",
        "loopwatch_id": "2",
        "loopwatch_site": "shop.db.send:7",
        "loopwatch_duration": 2.0,
        "loopwatch_executor": "database",
        "loopwatch_in_progress": True,
        "loopwatch_suppressed": 0,
    }


def test_an_offload_has_its_fields_for_json(log: Log) -> None:
    """The same for an offload, which has a verdict."""
    found = as_json(log, offload())
    assert found.pop("loopwatch") == offload().to_dict()
    assert {name: value for name, value in found.items() if name.startswith("loopwatch")} == {
        "loopwatch_event": "offload",
        "loopwatch_site": "shop.db.get:5",
        "loopwatch_cause": "wait",
        "loopwatch_executor": "database",
        "loopwatch_verdict": "simulated async",
        "loopwatch_suppressed": 0,
    }


# --- repeats ---


def test_a_repeat_within_the_interval_is_counted_instead(log: Log) -> None:
    """The next one told after it says how many were left out, in its text and in its fields."""
    for number in range(4):
        log.report(stall(id=str(number)))
        log.clock.advance(19.9)
    assert log.take() == [render(stall())]
    log.clock.advance(0.5)  # 60.1 seconds after the one that was told
    log.report(stall(id="5"))
    assert log.records[0].loopwatch["suppressed"] == 3  # type: ignore[attr-defined]
    assert log.take() == [render(stall(suppressed=3))]
    log.clock.advance(60.0)
    log.report(stall(id="6"))
    assert log.take() == [render(stall())]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (stall(), stall(cause="wait")),
        (stall(), stall(culprit=SEND)),
        (backlog(), backlog(culprit=CHECKOUT)),
        (backlog(), backlog(self_deadlock=True)),
        (backlog(culprit=None), backlog(culprit=None, executor="mail")),
        (offload(), offload(target="shop.db.close")),
        (stall(culprit=SEND), backlog()),
    ],
)
def test_what_is_not_equal_is_told(log: Log, first: Event, second: Event) -> None:
    """Another cause or another site is another finding."""
    log.report(first)
    log.report(second)
    assert len(log.take()) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (stall(), stall(loop="worker", task="req-9", duration=0.3)),
        (backlog(), backlog(executor="ThreadPoolExecutor-1", jobs=2)),
        (
            backlog(charged_site="shop.db.send:7 from shop.views.order:1"),
            backlog(charged_site="shop.db.send:7 from shop.views.checkout:2"),
        ),
        (backlog(charged_site="shop.db.send:7"), backlog(culprit=CHECKOUT, charged_site="shop.db.send:7")),
        (offload(), offload(jobs=99)),
    ],
)
def test_one_cause_at_one_site_is_one_finding(log: Log, first: Event, second: Event) -> None:
    """In whatever loop, task or pool it happens: a thread or a pool for each request makes no flood."""
    log.report(first)
    log.report(second)
    assert len(log.take()) == 1


def test_one_that_is_much_worse_is_told_at_once(log: Log) -> None:
    """A hang is not hidden by the short stall that was told a moment ago; twice as long is not worth a line."""
    log.report(stall(duration=0.06))
    log.report(stall(duration=0.6))
    assert len(log.take()) == 1
    log.report(stall(duration=0.7))
    assert log.take() == [render(stall(duration=0.7, suppressed=1))]


def test_without_an_interval_all_is_told() -> None:
    """An interval of 0 says all."""
    log = Log(repeat_interval=0)
    for _ in range(3):
        log.report(stall())
    assert log.take() == [render(stall())] * 3


@pytest.mark.parametrize("interval", [-1, float("nan"), "60", None])
def test_an_interval_must_be_a_number_of_seconds(interval: Any) -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match="repeat_interval"):
        LogReporter(repeat_interval=interval)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 40), st.booleans()), max_size=60))
def test_every_finding_is_either_told_or_counted(happened: list[tuple[int, float, bool]]) -> None:
    """Whatever comes, the lines and their counts add up; what was left out last is told with the next one."""
    log = Log()
    sites = [CHECKOUT, SEND]
    for number, (site, pause, longer) in enumerate(happened):
        log.report(stall(id=str(number), culprit=sites[site % 2], duration=5.0 if longer else 0.2))
        log.clock.advance(pause)
    log.clock.advance(61.0)
    for site in range(2):
        log.report(stall(id=f"last {site}", culprit=sites[site]))
    counted = sum(1 + record.loopwatch["suppressed"] for record in log.records)  # type: ignore[attr-defined]
    assert counted == len(happened) + 2


def test_its_memory_has_an_end(log: Log) -> None:
    """Any number of sites and of stalls that never end leaves only the latest behind."""
    for number in range(5000):
        site = Frame("shop.views", f"f{number}", "/srv/shop/views.py", number)
        log.report(stall(id=f"a{number}", culprit=site))
        log.report(stall(id=f"b{number}", culprit=site, duration=30.0, in_progress=True))
    assert len(log.take()) == 10_000
    assert sum(len(table) for table in vars(log.report).values() if isinstance(table, dict)) <= 2048
    log.report(stall(culprit=Frame("shop.views", "f4999", "/srv/shop/views.py", 4999)))
    assert log.take() == []
