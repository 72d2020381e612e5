"""What can be a reporter, by object and by text, and how it is called in messages."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from loopwatch.errors import SettingsError
from loopwatch.settings import Settings, check_reporter, name_of


def report(event: object) -> None:
    """A reporter."""


async def report_async(event: object) -> None:
    """No reporter: nobody would await it."""


def report_lazily(event: object) -> Any:
    """No reporter: nobody would iterate it."""
    yield event


async def report_lazily_async(event: object) -> Any:
    """No reporter: nobody would iterate it."""
    yield event


class Alerts:
    def __call__(self, event: object) -> None:
        pass

    def send(self, event: object) -> None:
        pass


class AsyncAlerts:
    async def __call__(self, event: object) -> None:
        pass


class LazyAlerts:
    def __call__(self, event: object) -> Any:
        yield event


def resolve(*reporters: object) -> Settings:
    return Settings.resolve({"reporters": reporters}, {})


@pytest.mark.parametrize(
    "reporter",
    [report, Alerts(), Alerts().send, functools.partial(report), lambda event: None, print, [].append],
    ids=["function", "instance", "method", "partial", "lambda", "builtin", "builtin method"],
)
def test_a_callable_can_be_a_reporter(reporter: Callable[[Any], object]) -> None:
    """Whatever does its work when it is called with one event, and the very object is kept."""
    assert check_reporter(reporter) is reporter
    kept = resolve(reporter).reporters
    assert kept is not None
    assert kept[0] is reporter


@pytest.mark.parametrize(
    ("reporter", "reason"),
    [
        (None, "cannot be called"),
        (3, "cannot be called"),
        (object(), "cannot be called"),
        (Alerts, "class"),
        (dict, "class"),
        (report_async, "coroutine function"),
        (functools.partial(report_async), "coroutine function"),
        (AsyncAlerts(), "coroutine function"),
        (AsyncAlerts().__call__, "coroutine function"),
        (report_lazily, "generator function"),
        (report_lazily_async, "generator function"),
        (LazyAlerts(), "generator function"),
    ],
)
def test_what_would_report_nothing_is_refused(reporter: object, reason: str) -> None:
    """Objects that cannot be called, and those whose call does nothing: classes, coroutine and generator functions."""
    with pytest.raises(ValueError, match=reason):
        check_reporter(reporter)
    with pytest.raises(SettingsError) as caught:
        resolve(report, reporter)
    assert (caught.value.setting, caught.value.entry) == ("reporters", True)
    assert caught.value.value is reporter
    assert reason in caught.value.hint


def test_the_forms_of_a_text() -> None:
    """The log, a file of JSON lines, and a callable of the user's, also one inside a class."""
    texts = ("log", "jsonl:events.jsonl", "jsonl:/var/log/a b:c", "shop:send", "shop.alerts:send", "shop:Alerts.send")
    assert resolve(*texts).reporters == texts


NO_REPORTERS = ["", "logs", "log:", " log", "jsonl", "jsonl:", ":send", "shop:", "shop", "a:b:c", "a-b:c", "a:b c"]


@pytest.mark.parametrize("text", NO_REPORTERS)
def test_a_text_that_names_no_reporter_is_refused(text: str) -> None:
    """The refusal shows the text that is wrong, not the whole sequence."""
    with pytest.raises(SettingsError) as caught:
        resolve("log", text)
    assert (caught.value.setting, caught.value.value) == ("reporters", text)


@pytest.mark.parametrize("text", NO_REPORTERS)
def test_a_wrong_text_in_the_environment_is_shown_as_it_stands_there(text: str) -> None:
    """The variable's whole text is shown, to be found again; blanks around an entry do not matter."""
    environ = {"LOOPWATCH_REPORTERS": f"log,{text}"}
    if text.strip() == "log":
        assert Settings.resolve({}, environ).reporters == ("log", "log")
        return
    with pytest.raises(SettingsError) as caught:
        Settings.resolve({}, environ)
    assert (caught.value.setting, caught.value.value) == ("LOOPWATCH_REPORTERS", f"log,{text}")


def test_a_reporter_is_called_by_its_dotted_name() -> None:
    """Messages say which function it is, or of which class the object."""
    assert name_of(report) == f"{__name__}.report"
    assert name_of(Alerts().send) == f"{__name__}.Alerts.send"
    assert name_of(Alerts()).startswith("<Alerts 0x")


def test_a_name_shows_no_arguments() -> None:
    """What a reporter was made with may be secret: neither a partial's arguments nor an object's repr are shown."""

    class Client(Alerts):
        def __repr__(self) -> str:
            return "Client(token='s3cret')"

    for reporter, kind in ((Client(), "Client"), (functools.partial(print, "s3cret"), "partial")):
        for said in (name_of(reporter), resolve(reporter).describe()):
            assert "s3cret" not in said
            assert kind in said
