"""install() and uninstall(): one watch a process, whole or not at all, and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

import loopwatch
import loopwatch.watch
from tests.programs import hold_once


def test_a_second_install_with_the_same_settings_is_the_same_watch():
    """Libraries and the application may both install: there is one watch."""
    watch = loopwatch.install(threshold=0.1, prometheus=False)
    assert loopwatch.install(threshold=0.1, prometheus=False) is watch
    assert loopwatch.current() is watch
    loopwatch.uninstall()
    assert loopwatch.current() is None


def test_a_second_install_with_other_settings_names_both():
    """The error says which settings are installed, and which were asked for."""
    with loopwatch.install(threshold=0.1, prometheus=False):
        with pytest.raises(loopwatch.AlreadyInstalled) as caught:
            loopwatch.install(threshold=0.2, prometheus=False)
        assert "threshold=0.1" in str(caught.value)
        assert "threshold=0.2" in str(caught.value)


def test_an_argument_wins_over_the_environment(monkeypatch):
    """Precedence is argument, then LOOPWATCH_*, then default."""
    monkeypatch.setenv("LOOPWATCH_THRESHOLD", "0.3")
    monkeypatch.setenv("LOOPWATCH_EXECUTOR_WAIT", "0.4")
    with loopwatch.install(threshold=0.2, prometheus=False) as watch:
        assert (watch.settings.threshold, watch.settings.executor_wait) == (0.2, 0.4)
        assert watch.settings.repeat_interval == 60.0


@pytest.mark.parametrize("wrong", [-1, float("nan"), "0.05", True, None])
def test_a_wrong_value_installs_nothing(wrong):
    """The error names the setting, the value and what is allowed, and nothing is half-installed afterwards."""
    with pytest.raises(loopwatch.SettingsError) as caught:
        loopwatch.install(threshold=wrong)
    assert all(text in str(caught.value) for text in ("threshold", repr(wrong), "a number of seconds"))
    assert loopwatch.current() is None


def test_an_unknown_variable_installs_nothing(monkeypatch):
    """A misspelt variable would be a setting that is silently not in force."""
    monkeypatch.setenv("LOOPWATCH_TRESHOLD", "0.1")
    with pytest.raises(loopwatch.SettingsError, match="LOOPWATCH_TRESHOLD"):
        loopwatch.install()
    assert loopwatch.current() is None


def test_a_hook_that_does_not_take_installs_nothing(monkeypatch):
    """A watch that would see nothing raises, and leaves every attribute as it was (see the autouse fixture)."""

    class Deaf(type):
        """A class whose attributes cannot be replaced for real, as of a tool that guards its own."""

        def __setattr__(cls, name: str, value: object) -> None:
            pass

    class Handle(asyncio.Handle, metaclass=Deaf):
        def _run(self) -> None:
            getattr(self, "_callback")(*getattr(self, "_args"))  # noqa: B009

    monkeypatch.setattr(asyncio.events, "Handle", Handle)
    with pytest.raises(loopwatch.SelfCheckFailed, match=r"Handle\._run"):
        loopwatch.install(prometheus=False)
    assert loopwatch.current() is None


@pytest.mark.needs("prometheus_client")
def test_a_registry_that_refuses_installs_nothing():
    """When the metric names are taken already, install() says so as of any other setting, and no thread is left."""
    from prometheus_client import CollectorRegistry, Counter

    registry = CollectorRegistry()
    Counter("loopwatch_events_dropped", "someone else's", registry=registry)
    with pytest.raises(loopwatch.SettingsError, match="loopwatch_events_dropped") as caught:
        loopwatch.install(prometheus=registry)
    assert (caught.value.setting, caught.value.value) == ("prometheus", registry)
    assert isinstance(caught.value.__cause__, ValueError)
    assert loopwatch.current() is None


@pytest.mark.needs("prometheus_client")
def test_a_registry_that_the_environment_chose_is_named_by_its_variable(monkeypatch):
    """Whoever reads the error finds the setting where it stands."""
    from prometheus_client import REGISTRY, Counter

    taken = Counter("loopwatch_events_dropped", "someone else's")
    monkeypatch.setenv("LOOPWATCH_PROMETHEUS", "true")
    try:
        with pytest.raises(loopwatch.SettingsError, match="LOOPWATCH_PROMETHEUS is True") as caught:
            loopwatch.install(reporters=[])
        assert caught.value.setting == "LOOPWATCH_PROMETHEUS"
    finally:
        REGISTRY.unregister(taken)


class Refusing:
    """A registry that takes nothing."""

    def register(self, collector):
        raise ValueError("not today")

    unregister = collect = register


@pytest.mark.parametrize(
    "wrong",
    [
        {"more": "no.such.module:send"},
        pytest.param({"prometheus": Refusing()}, marks=pytest.mark.needs("prometheus_client")),
    ],
    ids=["reporter", "registry"],
)
def test_a_refused_install_leaves_no_file(wrong, tmp_path):
    """Files are opened when all else is in place: whatever is refused, there is neither a file nor its lock."""
    given = {"prometheus": False, **wrong}
    reporters = [f"jsonl:{tmp_path / 'events.jsonl'}", given.pop("more", "log")]
    with pytest.raises(loopwatch.SettingsError):
        loopwatch.install(reporters=reporters, **given)
    assert list(tmp_path.iterdir()) == []
    assert loopwatch.current() is None


def test_no_event_is_lost_between_the_hooks_and_the_reporters(events, monkeypatch):
    """What is seen while install() is not done yet reaches the reporters all the same."""
    make = loopwatch.watch.Watch._install

    def install(self):
        self._delivery.put("early")
        make(self)

    monkeypatch.setattr(loopwatch.watch.Watch, "_install", install)
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        assert watch.flush(10)
    assert events.events == ["early"]


def test_uninstall_is_idempotent(events):
    """A second uninstall does nothing, and neither does one when there is no watch."""
    watch = loopwatch.install(reporters=[events], prometheus=False)
    watch.uninstall()
    watch.uninstall()
    loopwatch.uninstall()
    assert loopwatch.current() is None


def test_an_uninstalled_watch_still_tells_its_numbers(events):
    """Numbers outlive the watch; what needs hooks says that they are gone."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        asyncio.run(hold_once(0.0))
    assert watch.snapshot().loops[0].steps > 0
    assert watch.flush() is True
    with pytest.raises(loopwatch.NotInstalled, match="serve_metrics"):
        watch.serve_metrics(0)


def test_an_uninstalled_watch_is_not_entered_again(events):
    """A block that runs unwatched must not look watched."""
    watch = loopwatch.install(reporters=[events], prometheus=False)
    watch.uninstall()
    with pytest.raises(loopwatch.NotInstalled, match="with block"), watch:
        raise AssertionError("the block was run")


def test_a_new_watch_starts_from_zero(events):
    """Install, uninstall, install: the second watch counts only what it saw itself."""
    with loopwatch.install(reporters=[events], prometheus=False):
        asyncio.run(hold_once(0.0))
    with loopwatch.install(reporters=[events], prometheus=False) as second:
        assert second.snapshot().loops == ()
        assert second.snapshot().executors == ()


def test_many_threads_may_install_at_once():
    """A race of installs gives every caller the same watch."""
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(loopwatch.install(threshold=0.1, prometheus=False)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert set(found) == {loopwatch.current()}
    loopwatch.uninstall()


def test_leaving_an_inner_with_keeps_the_outer_watch(events):
    """A lifespan that installs as well gets the application's watch, and does not take it away with it."""
    outer = loopwatch.install(reporters=[events], prometheus=False)
    with loopwatch.install(reporters=[events], prometheus=False) as inner:
        assert inner is outer
    assert loopwatch.current() is outer
    loopwatch.uninstall()
    assert loopwatch.current() is None


def test_an_install_without_threads_says_so_and_leaves_nothing(monkeypatch):
    """Where no thread can be had the watch would be blind: install() raises."""

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(loopwatch.SelfCheckFailed, match="can't start new thread"):
            loopwatch.install(prometheus=False)
    assert loopwatch.current() is None


def test_uninstall_waits_two_seconds_in_all_at_most(events, monkeypatch):
    """A sampler that hangs takes half of the time; what is left of it is the reporters'."""
    monkeypatch.setattr(loopwatch.watch, "_PATIENCE", 0.4)
    given: dict[str, float] = {}
    watch = loopwatch.install(reporters=[events], prometheus=False)
    stop_sampler, stop_delivery = watch._sampler.stop, watch._delivery.stop

    def hang(timeout: float) -> None:
        given["sampler"] = timeout
        time.sleep(timeout)
        stop_sampler(10)

    def note(timeout: float) -> None:
        given["delivery"] = timeout
        stop_delivery(timeout)

    monkeypatch.setattr(watch._sampler, "stop", hang)
    monkeypatch.setattr(watch._delivery, "stop", note)
    watch.uninstall()
    assert given["sampler"] == 0.2
    assert 0.0 <= given["delivery"] <= 0.2
