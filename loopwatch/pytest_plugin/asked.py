"""What a run and a test ask for: their options and markers, as terms and rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest

from ..errors import SettingsError
from ..model import Event
from ..settings import Settings
from ..testing.terms import Rule, Terms

_TERMS = ("threshold", "executor_wait", "simulated_async")


@dataclass(frozen=True)
class RunRequest:
    """What holds for the run; ``mode`` is ``off``, ``warn`` or ``fail``, ``whole``: each test is watched."""

    mode: str
    whole: bool
    terms: Terms
    own_code: tuple[str, ...]
    json_file: str | None
    slowest: int

    @staticmethod
    def of(config: pytest.Config, mode: str) -> RunRequest:
        """Raises pytest.UsageError for what cannot be."""
        terms = Terms()
        for name in ("threshold", "executor_wait"):
            where = f"loopwatch_{name} in pytest's configuration"
            terms = _made(terms, {name: _seconds(config, f"loopwatch_{name}")}, where)
        return RunRequest(
            mode=mode,
            whole=config.getoption("--loopwatch") and mode != "off",
            terms=terms,
            own_code=_own_code(config),
            json_file=config.getoption("--loopwatch-json"),
            slowest=config.getoption("--loopwatch-slowest"),
        )


class PlacedRule(NamedTuple):
    """A rule, and the test, class, module or package that it stands on."""

    rule: Rule
    place: str

    @property
    def key(self) -> str:
        """Its name, the same in every process of a run."""
        return f"{self.rule} of {self.place}"


def terms_of(item: pytest.Item, run: RunRequest) -> Terms:
    """The terms of one test: of several markers the nearest wins. Raises pytest.UsageError."""
    terms = run.terms
    for marker in reversed(list(item.iter_markers("no_blocking"))):
        if marker.args:
            raise pytest.UsageError(f"{item.nodeid}: no_blocking takes its values by name, such as threshold=0.1.")
        terms = _made(terms, marker.kwargs, item.nodeid)
    return terms


def rules_of(item: pytest.Item) -> list[PlacedRule]:
    """What the test, its class and its module allow. Raises pytest.UsageError."""
    return [
        PlacedRule(_rule(marker, item.nodeid), node.nodeid)
        for node, marker in item.iter_markers_with_node("allow_blocking")
    ]


def _rule(marker: pytest.Mark, where: str) -> Rule:
    values = dict(marker.kwargs)
    site, reason = values.pop("site", ""), values.pop("reason", "")
    if marker.args or values or not isinstance(site, str) or not (isinstance(reason, str) and reason):
        raise pytest.UsageError(f"{where}: write allow_blocking(site='package.module.function', reason='why').")
    return Rule(site, reason)


def _made(terms: Terms, given: Mapping[str, Any], where: str) -> Terms:
    unknown = [name for name in given if name not in _TERMS]
    if unknown:
        raise pytest.UsageError(f"{where}: no_blocking has no {unknown[0]}; it has {', '.join(_TERMS)}.")
    try:
        return replace(terms, **given)
    except SettingsError as wrong:
        raise pytest.UsageError(f"{where}: {wrong}") from None


def _own_code(config: pytest.Config) -> tuple[str, ...]:
    names = tuple(config.getini("loopwatch_own_code"))
    try:
        Settings.resolve({"own_code": names}, {})
    except SettingsError as wrong:
        raise pytest.UsageError(f"loopwatch_own_code: {wrong}") from None
    return names


def _seconds(config: pytest.Config, name: str) -> Any:
    text = config.getini(name)
    try:
        return float(text)
    except ValueError:
        raise pytest.UsageError(f"{name} is {text!r}, but must be a number of seconds.") from None


def how_to_allow(event: Event) -> str:
    """The rule that lets an event be, in words."""
    return f'To let it be: @pytest.mark.allow_blocking(site="{_stable(event)}", reason="...")'


def _stable(event: Event) -> str:
    """A name for a rule that does not change with each edit of the file."""
    name = event.site.partition(" from ")[0]
    stem, colon, line = name.rpartition(":")
    return stem if colon and line.isdigit() else name


Carried = tuple[int, str, int]
"""By how many tests a rule is carried, and the file and line of the first of them."""


def carriers(items: Iterable[pytest.Item], only_own: bool = False) -> dict[str, Carried]:
    """Who carries each rule; with ``only_own`` of the rules that stand on a test itself."""
    found: dict[str, Carried] = {}
    for item in items:
        for placed in rules_of(item):
            if not only_own or placed.place == item.nodeid:
                count, file, line = found.get(placed.key, (0, str(item.path), (item.location[1] or 0) + 1))
                found[placed.key] = count + 1, file, line
    return found
