"""A watch that is taken out where something keeps it from waiting: it ends all the same."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

import loopwatch
from loopwatch.testing import RecordingReporter


class Refused(Exception):
    """What another tool raises where a loop's thread would wait."""


class Refusing:
    """While it is ``on``, no thread that runs a loop may wait for another one."""

    on = True


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    join, refusing = threading.Thread.join, Refusing()

    def refuse(self: threading.Thread, timeout: float | None = None) -> None:
        if refusing.on and asyncio._get_running_loop() is not None:
            raise Refused
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", refuse)
    return refusing


def ended(before: set[threading.Thread]) -> bool:
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    return not set(threading.enumerate()) - before


def test_every_thread_ends_and_all_is_told(refusing: Refusing, caplog: pytest.LogCaptureFixture) -> None:
    """In a running loop nothing is raised, a warning says what happened, and the stall before is told."""
    before, recorder = set(threading.enumerate()), RecordingReporter()

    async def main() -> None:
        time.sleep(0.12)
        watch.uninstall()
        assert loopwatch.current() is None

    watch = loopwatch.install(reporters=[recorder], prometheus=False)
    with caplog.at_level(logging.WARNING, "loopwatch"):
        asyncio.run(main())
        assert ended(before)
    assert any("uninstall() could not go on (Refused" in each.getMessage() for each in caplog.records)
    assert [stall.kind for stall in recorder.stalls] == ["step"]


def test_another_watch_may_come_at_once(refusing: Refusing) -> None:
    """It has threads of its own. An install in a running loop waits as well, for its self-check: that is let be."""
    before, first, second = set(threading.enumerate()), RecordingReporter(), RecordingReporter()

    async def main() -> None:
        watch.uninstall()
        refusing.on = False
        other = loopwatch.install(reporters=[second], prometheus=False)
        refusing.on = True
        time.sleep(0.12)
        await asyncio.sleep(0)
        other.uninstall()

    watch = loopwatch.install(reporters=[first], prometheus=False)
    asyncio.run(main())
    assert ended(before)
    assert (len(first.stalls), len(second.stalls)) == (0, 1)


def test_an_error_outside_of_any_loop_is_raised_when_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """There it is no rule about loops, and fails no service."""
    before, recorder = set(threading.enumerate()), RecordingReporter()
    watch = loopwatch.install(reporters=[recorder], prometheus=False)
    join, refused = threading.Thread.join, iter([True])

    def refuse_once(self: threading.Thread, timeout: float | None = None) -> None:
        if next(refused, False):
            raise Refused
        join(self, timeout)

    monkeypatch.setattr(threading.Thread, "join", refuse_once)
    with pytest.raises(Refused):
        watch.uninstall()
    assert loopwatch.current() is None
    assert ended(before)
