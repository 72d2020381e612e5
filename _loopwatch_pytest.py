"""What pytest loads in every run: loopwatch's options, markers and fixture, and nothing of loopwatch itself.

It stands beside the package and not in it, since to import a part of a package is to import the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from loopwatch.pytest_plugin import Plugin

MODES = ("off", "warn", "fail")
_NAME = "loopwatch-at-work"

LEFT_OUT = pytest.StashKey[list[pytest.Item]]()
"""Tests that carry a rule and were deselected."""

MARKERS = (
    "no_blocking(threshold=0.05, executor_wait=0.05, simulated_async=True): "
    "fail the test if it holds an event loop, lets a job wait for a worker, or uses simulated async",
    "allow_blocking(site=..., reason=...): "
    "let a watched test block at a site, such as 'package.module.function'; without a site, anywhere",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("loopwatch", "what blocks an event loop")
    group.addoption("--loopwatch", action="store_true", help="watch every test, not only those that ask for it")
    group.addoption("--loopwatch-mode", choices=MODES, help="what a finding does; wins over loopwatch_mode")
    group.addoption(
        "--loopwatch-json",
        metavar="FILE",
        help="write the verdict on each watched test; read it with 'loopwatch report FILE'",
    )
    group.addoption(
        "--loopwatch-slowest", type=int, default=5, metavar="N", help="name the N slowest steps at the end (5; 0: none)"
    )
    parser.addini("loopwatch_mode", "off (nothing is watched), warn, or fail (the default)", default="fail")
    parser.addini("loopwatch_threshold", "seconds an event loop may be held (0.05)", default="0.05")
    parser.addini("loopwatch_executor_wait", "seconds a job may wait for a worker (0.05)", default="0.05")
    parser.addini("loopwatch_own_code", "modules that are your own code even where they are installed", type="args")


def mode_of(config: pytest.Config) -> str:
    """The command line wins; who asks for the whole run there wants it watched, whatever the configuration says."""
    mode: str = config.getoption("--loopwatch-mode") or config.getini("loopwatch_mode").strip()
    if mode not in MODES:
        raise pytest.UsageError(f"loopwatch_mode is {mode!r}, but must be one of {', '.join(MODES)}.")
    if mode == "off" and config.getoption("--loopwatch") and not config.getoption("--loopwatch-mode"):
        return "fail"
    return mode


def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    mode = mode_of(config)
    if config.getoption("--loopwatch-json") or (config.getoption("--loopwatch") and mode != "off"):
        at_work(config)


def pytest_deselected(items: list[pytest.Item]) -> None:
    """A rule of which not all tests run may be of use to the others."""
    left_out = [item for item in items if item.get_closest_marker("allow_blocking") is not None]
    if left_out:
        left_out[0].config.stash.setdefault(LEFT_OUT, []).extend(left_out)


def pytest_collection_finish(session: pytest.Session) -> None:
    config = session.config
    wanted = mode_of(config) != "off" and any(map(asks, session.items))
    if wanted or config.pluginmanager.has_plugin(_NAME):
        at_work(config).look_over(session.items, config.stash.get(LEFT_OUT, []))


def pytest_runtest_logreport(report: Any) -> None:
    """In the process that xdist's workers report to, it may be the first sign of one that is watched."""
    node = getattr(report, "node", None)
    if node is not None and hasattr(report, "loopwatch") and not node.config.pluginmanager.has_plugin(_NAME):
        at_work(node.config).pytest_runtest_logreport(report)


def asks(item: pytest.Item) -> bool:
    """Whether a test asks to be watched."""
    return "no_blocking" in getattr(item, "fixturenames", ()) or item.get_closest_marker("no_blocking") is not None


def at_work(config: pytest.Config) -> Plugin:
    """The plugin proper, which is loaded when it is first wanted."""
    plugin: Plugin | None = config.pluginmanager.get_plugin(_NAME)
    if plugin is None:
        from loopwatch.pytest_plugin import Plugin as Made

        plugin = Made(config, mode_of(config))
        config.pluginmanager.register(plugin, _NAME)
    return plugin


@pytest.fixture
def no_blocking(request: pytest.FixtureRequest) -> None:
    """The test fails if an event loop is held or a job has to wait while it runs; see the marker for how long."""
    if mode_of(request.config) != "off":
        at_work(request.config).ask(request.node)
