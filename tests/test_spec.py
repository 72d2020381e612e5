"""The texts that name reporters, from an argument or from the environment, become reporters or an error at install."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopwatch.errors import SettingsError
from loopwatch.model import Stall
from loopwatch.report.jsonl import JsonLinesReporter
from loopwatch.report.log import LogReporter
from loopwatch.report.spec import resolve_reporter
from loopwatch.settings import Settings

SHOP = """
told = []

def send(event):
    told.append(event)

class Alerts:
    def send(self, event):
        told.append(event)

    @staticmethod
    def page(event):
        told.append(event)

alerts = Alerts()
number = 3

async def send_async(event):
    pass
"""

STALL = Stall(id="1", kind="step", duration=0.1, started_at=0.0, loop="main", thread="MainThread")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's package ``shop`` with a module ``shop.views``; its directory."""
    package = tmp_path / "shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "views.py").write_text(SHOP)
    monkeypatch.syspath_prepend(tmp_path)
    yield package
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


def resolve(text: str) -> object:
    return resolve_reporter(text, Settings())


def refusal(text: str) -> SettingsError:
    """The error for a text of the right form that leads nowhere."""
    assert Settings.resolve({"reporters": [text]}, {}).reporters == (text,)
    with pytest.raises(SettingsError) as caught:
        resolve(text)
    assert (caught.value.setting, caught.value.value) == ("reporters", text)
    assert caught.value.__cause__ is not None
    return caught.value


def test_log_is_the_log_reporter_with_the_interval_of_the_settings(caplog: pytest.LogCaptureFixture) -> None:
    """``log`` writes to the log, repeats left out for as long as the settings say."""
    for interval, lines in ((60.0, 1), (0.0, 2)):
        caplog.clear()
        reporter = resolve_reporter("log", Settings.resolve({"repeat_interval": interval}, {}))
        assert isinstance(reporter, LogReporter)
        reporter(STALL)
        reporter(STALL)
        assert len(caplog.records) == lines


def test_jsonl_opens_the_file(tmp_path: Path) -> None:
    """``jsonl:PATH`` writes to that path, colons, commas and blanks included; the file is there at once."""
    path = tmp_path / "to: day, all.jsonl"
    reporter = resolve(f"jsonl:{path}")
    assert isinstance(reporter, JsonLinesReporter)
    assert path.read_text() == ""
    reporter(STALL)
    assert json.loads(path.read_text())["id"] == "1"


@pytest.mark.parametrize("name", ["send", "alerts.send", "Alerts.page"])
def test_a_dotted_name_is_imported(shop: Path, name: str) -> None:
    """``package.module:callable`` is the user's own function, method or static method, imported when it is needed."""
    assert "shop.views" not in sys.modules
    reporter = resolve(f"shop.views:{name}")
    assert callable(reporter)
    reporter(STALL)
    assert sys.modules["shop.views"].told == [STALL]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shop.views:no_such_name", "AttributeError: module 'shop.views' has no attribute 'no_such_name'"),
        ("shop.views:alerts.call", "AttributeError: 'Alerts' object has no attribute 'call'"),
        ("shop.no_such_module:send", "ModuleNotFoundError: No module named 'shop.no_such_module'"),
        (
            "shop.views.send:send",
            "ModuleNotFoundError: No module named 'shop.views.send'; 'shop.views' is not a package",
        ),
        ("shop.views:number", "ValueError: it cannot be called"),
        ("shop.views:Alerts", "ValueError: it is a class; give an instance of it"),
        ("shop.views:send_async", "ValueError: it is a coroutine function, which nobody would await"),
    ],
)
def test_a_name_that_leads_nowhere_is_refused_with_the_reason(shop: Path, text: str, reason: str) -> None:
    """The error says which text, and what went wrong on the way to it."""
    assert reason in str(refusal(text))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def broken(:", "SyntaxError: "),
        ("import sys; sys.exit('usage: shop FILE')", "SystemExit: usage: shop FILE"),
    ],
)
def test_a_module_that_fails_to_import_is_refused(shop: Path, source: str, reason: str) -> None:
    """Whatever the user's module does while it is imported, also ending the process, becomes a settings error."""
    (shop / "broken.py").write_text(source)
    assert reason in str(refusal("shop.broken:send"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("no/such/directory/events.jsonl", "No such file or directory"),
        (".", "directory"),
        ("nul\0byte", "null"),
        ("lone\ud800surrogate", "surrogates not allowed"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    """It is told at install, not at the first event; no directory is made for it."""
    error = refusal(f"jsonl:{tmp_path}/{name}")
    assert "jsonl:PATH with a file that can be written" in str(error)
    assert reason in str(error)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("text", ["jsonl:{folder}/no/such/events.jsonl", "no.such.module:send"])
def test_a_text_of_the_environment_is_refused_by_its_variable(tmp_path: Path, text: str) -> None:
    """Who wrote a variable has no argument to look for; a file is told by its own path, not by its lock's."""
    text = text.format(folder=tmp_path)
    settings = Settings.resolve({}, {"LOOPWATCH_REPORTERS": text})
    assert settings.reporters == (text,)
    with pytest.raises(SettingsError) as caught:
        resolve_reporter(text, settings)
    assert caught.value.setting == "LOOPWATCH_REPORTERS"
    assert str(caught.value).startswith(f"LOOPWATCH_REPORTERS has the entry {text!r}, which must be ")
    assert ".lock" not in str(caught.value)
