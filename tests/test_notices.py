"""What the watch says of itself as it begins."""

from __future__ import annotations

import sys

import pytest

from loopwatch.report.notices import Notices
from loopwatch.settings import Settings


def said(caplog: pytest.LogCaptureFixture, settings: Settings) -> list[tuple[str, str]]:
    with caplog.at_level("INFO", "loopwatch"):
        Notices().begin("1.0", [], settings)
    return [(record.levelname, record.getMessage()) for record in caplog.records][1:]


@pytest.mark.parametrize("name", ["threshold", "executor_wait"])
def test_a_limit_that_is_surely_meant_in_milliseconds_is_warned_of(caplog: pytest.LogCaptureFixture, name: str) -> None:
    """The watch would be silent for good, and look healthy."""
    ((level, text),) = said(caplog, Settings(**{name: 50.0}, prometheus=False))  # type: ignore[arg-type]
    assert level == "WARNING" and f"{name} is 50 seconds" in text and "write 0.05" in text


def test_a_limit_from_the_environment_is_called_by_its_variable(caplog: pytest.LogCaptureFixture) -> None:
    """It is what the user can change."""
    ((_, text),) = said(caplog, Settings.resolve({"prometheus": False}, {"LOOPWATCH_THRESHOLD": "50"}))
    assert "LOOPWATCH_THRESHOLD is 50 seconds" in text


def test_of_limits_that_can_be_meant_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    """Some seconds are a choice."""
    assert said(caplog, Settings(threshold=9.9, executor_wait=5.0, prometheus=False)) == []


@pytest.mark.parametrize(("wanted", "told"), [("auto", True), (False, False)])
def test_that_there_are_no_metrics_is_said_to_who_did_not_forgo_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, wanted: object, told: bool
) -> None:
    """The default takes the library where it is, and says where it is not."""
    monkeypatch.delitem(sys.modules, "prometheus_client", raising=False)
    lines = said(caplog, Settings(prometheus=wanted))
    assert [level for level, _ in lines] == ["INFO"] * told
    assert all("prometheus_client is not installed" in text for _, text in lines)
