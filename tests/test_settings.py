"""What a user may choose: the defaults, each setting's allowed and refused values, and what a refusal says."""

from __future__ import annotations

import math
import pickle
from collections import UserList, deque
from dataclasses import FrozenInstanceError
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loopwatch.errors import SettingsError
from loopwatch.settings import Settings
from tests.made_settings import DEFAULTS, NAMES, all_settings, from_environment, report, resolve, variable

NAN, INF = math.nan, math.inf


class OneWay:
    """No registry: what it registers could not be taken out again."""

    def register(self, collector: object) -> None: ...

    def collect(self) -> list[object]:
        return []


class Registry(OneWay):
    """What the setting ``prometheus`` asks of a registry, and no more."""

    def unregister(self, collector: object) -> None: ...


class Hostile:
    """Raises whenever it is looked at."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("do not look at me")


class Caller:
    """A reporter without a name of its own."""

    def __call__(self, event: object) -> None: ...


class Size(IntEnum):
    SMALL = 10


def test_the_defaults() -> None:
    """Without argument and variable, each setting has its documented default, and there is no other setting."""
    settings = resolve()
    assert {name: getattr(settings, name) for name in all_settings()} == DEFAULTS
    assert settings == Settings()


# --- each setting ---


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        *((name, value, float(value)) for name in ("threshold", "executor_wait") for value in (0.001, 1, 0.25, 1e9)),
        *(("repeat_interval", value, float(value)) for value in (0, 0.0, 0.5, 3600, 1e9)),
        *((name, value, value) for name in ("queue_size", "max_sites") for value in (1, 2, 1000)),
        ("queue_size", 1_000_000, 1_000_000),
        ("queue_size", Size.SMALL, 10),
        *(("exact_uvloop", value, value) for value in (True, False, "auto")),
        ("prometheus", True, True),
        ("prometheus", False, False),
        ("prometheus", "auto", "auto"),
        ("own_code", [], ()),
        ("own_code", ["shop", "shop.views"], ("shop", "shop.views")),
        ("own_code", deque(["été"]), ("été",)),
        ("reporters", None, None),
        ("reporters", [], ()),
        ("reporters", UserList(["log"]), ("log",)),
        ("reporters", [report, "jsonl:events.jsonl"], (report, "jsonl:events.jsonl")),
    ],
)
def test_a_value_is_allowed(name: str, value: Any, kept: object) -> None:
    """Bounds are included; numbers are kept as float or int, sequences as tuples."""
    found = getattr(resolve(**{name: value}), name)
    assert found == kept
    assert type(found) is type(kept)


OF_NO_NUMBER: list[object] = [None, "0.1", b"1", "", True, False, [1], (), 1j, Decimal("0.1"), object(), report]

REFUSED: dict[str, list[object]] = {
    "threshold": [0, 0.0, -0.0, 0.0009, -1, -0.05, NAN, INF, -INF, 1.1e9, *OF_NO_NUMBER],
    "executor_wait": [0, 0.0, -0.0, 0.0009, -1, -0.05, NAN, INF, -INF, 1.1e9, *OF_NO_NUMBER],
    "repeat_interval": [-1, -1e-9, NAN, INF, -INF, 1.1e9, *OF_NO_NUMBER],
    "queue_size": [0, -1, 1_000_001, 1.0, 10.5, NAN, INF, *OF_NO_NUMBER],
    "max_sites": [0, -1, 1001, 1.0, 10.5, NAN, INF, *OF_NO_NUMBER],
    "exact_uvloop": [None, 0, 1, "", "Auto", "true", []],
    "prometheus": [None, 0, 1, "", "Auto", "true", Registry, OneWay(), []],
    "own_code": [None, "shop", b"shop", {"shop"}, {"shop": 1}, 1, iter(["shop"])],
    "reporters": [True, 1, "log", b"log", report, {report}, {"log": 1}, iter([report])],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in NAMES for value in REFUSED[name]])
def test_a_value_is_refused(name: str, value: object) -> None:
    """Negative, infinite and undefined numbers, texts, truth values and whatever else makes no sense."""
    with pytest.raises(SettingsError) as caught:
        resolve(**{name: value})
    assert caught.value.setting == name
    assert caught.value.value is value
    assert str(caught.value).startswith(f"{name} is ")
    assert f", but must be {caught.value.allowed}." in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("reporters", "log", "Write reporters=['log']."),
        ("reporters", "log, jsonl:/tmp/a.jsonl", "Write reporters=['log', 'jsonl:/tmp/a.jsonl']."),
        ("reporters", report, "Write reporters=[report]."),
        ("reporters", Registry().collect, "Write reporters=[collect]."),
        ("reporters", Caller(), "Write reporters=[...]."),
        ("own_code", "shop", "Write own_code=['shop']."),
        ("own_code", "shop,stock", "Write own_code=['shop', 'stock']."),
        ("own_code", report, ""),
        ("reporters", b"log", ""),
        ("threshold", "0.1", ""),
    ],
)
def test_one_where_a_list_is_meant_is_told_how_to_write_it(name: str, value: object, hint: str) -> None:
    """The commonest slip: the refusal ends with what to type."""
    with pytest.raises(SettingsError) as caught:
        resolve(**{name: value})
    assert caught.value.hint == hint
    assert str(caught.value).endswith(hint)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_that_cannot_even_be_looked_at_is_refused(name: str) -> None:
    """An object that raises whatever is asked of it, and a number with too many digits to be printed."""
    for value in (Hostile(), 10**5000):
        with pytest.raises(SettingsError) as caught:
            resolve(**{name: value})
        assert caught.value.setting == name
        assert caught.value.value is value
        assert caught.value.allowed in str(caught.value)


@pytest.mark.parametrize("entry", ["", ".", "shop.", ".shop", "shop-front", "shop views", "1shop", "a:b", 1, None])
def test_what_is_no_module_name_is_refused(entry: object) -> None:
    """``own_code`` takes dotted module names; the refusal shows the entry, not the whole sequence."""
    with pytest.raises(SettingsError) as caught:
        resolve(own_code=["shop", entry])
    assert (caught.value.setting, caught.value.value, caught.value.entry) == ("own_code", entry, True)
    assert str(caught.value).startswith(f"own_code has the entry {entry!r}, which must be a module name such as ")


def test_a_registry_is_what_can_register_unregister_and_collect() -> None:
    """Any registry will do, prometheus_client's or another; the very object is kept."""
    registry = Registry()
    assert resolve(prometheus=registry).prometheus is registry


@pytest.mark.needs("prometheus_client")
def test_a_registry_of_prometheus_client_is_allowed() -> None:
    """``prometheus=CollectorRegistry()`` is the documented way to have a registry of one's own."""
    from prometheus_client import REGISTRY, CollectorRegistry

    fresh = CollectorRegistry()
    assert resolve(prometheus=fresh).prometheus is fresh
    assert resolve(prometheus=REGISTRY).prometheus is REGISTRY


# --- whatever else may come ---

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.complex_numbers()
    | st.decimals() | st.fractions() | st.sampled_from([report, print, int, Registry, Registry(), object()]),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner) | st.sets(st.text()),
    max_leaves=8,
)  # fmt: skip


def holds(settings: Settings, name: str) -> bool:
    """Whether a resolved value is what the rest of loopwatch counts on."""
    value = getattr(settings, name)
    if name in {"threshold", "executor_wait", "repeat_interval"}:
        least = 0 if name == "repeat_interval" else 0.001
        return type(value) is float and math.isfinite(value) and value >= least
    if name in {"queue_size", "max_sites"}:
        return type(value) is int and value >= 1
    if name == "own_code":
        return type(value) is tuple and all(isinstance(each, str) and each for each in value)
    if name == "reporters":
        entries = () if value is None else value
        return type(entries) is tuple and all(isinstance(each, str) or callable(each) for each in entries)
    return value in (True, False, "auto") or isinstance(value, Registry)


@given(st.sampled_from(NAMES), anything)
def test_any_argument_is_kept_right_or_refused(name: str, value: object) -> None:
    """Whatever is given, the outcome is a value of the right kind, or a SettingsError that names what was wrong."""
    try:
        settings = resolve(**{name: value})
    except SettingsError as error:
        assert error.setting == name
        assert error.value is value or any(error.value is each for each in value)  # type: ignore[attr-defined]
        assert str(error).startswith((f"{name} is ", f"{name} has the entry ")) and error.allowed in str(error)
    else:
        assert holds(settings, name)


@given(st.sampled_from(NAMES), st.text() | st.sampled_from(["log", "auto", "0.5", "7", "a.b", "a:b", "on", "jsonl:x"]))
def test_any_variable_is_kept_right_or_refused(name: str, text: str) -> None:
    """The same for the texts of the environment."""
    try:
        settings = from_environment(**{variable(name): text})
    except SettingsError as error:
        assert (error.setting, error.value) == (variable(name), text)
        assert str(error).startswith(f"{variable(name)} is ") and error.allowed in str(error)
    else:
        assert holds(settings, name)


@given(st.text(), st.text())
def test_any_unknown_name_is_refused(name: str, value: str) -> None:
    """No name but those of the settings is accepted."""
    if name not in NAMES:
        with pytest.raises(SettingsError) as caught:
            Settings.resolve({name: value}, {})
        assert (caught.value.setting, caught.value.value) == (name, value)


seconds = st.floats(0.001, 1e9)
identifiers = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
dotted = st.lists(identifiers, min_size=1, max_size=3).map(".".join)


numbers = st.fixed_dictionaries(
    {
        "threshold": seconds,
        "executor_wait": seconds,
        "repeat_interval": st.floats(0, 1e9),
        "queue_size": st.integers(1, 1_000_000),
        "max_sites": st.integers(1, 1000),
    }
)


@given(numbers, st.lists(dotted, min_size=1))
def test_a_value_is_the_same_by_argument_and_by_environment(values: dict[str, object], own_code: list[str]) -> None:
    """What Python prints for a value means the same value in the environment."""
    texts = {variable(name): repr(value) for name, value in values.items()}
    texts["LOOPWATCH_OWN_CODE"] = ",".join(own_code)
    settings = resolve(**values, own_code=own_code)
    assert from_environment(**texts) == settings
    again = {name: getattr(settings, name) for name in all_settings()}
    assert resolve(**again) == settings


# --- what can be done with settings ---


def test_settings_cannot_be_changed() -> None:
    """A watch's choices are fixed when it is installed."""
    with pytest.raises(FrozenInstanceError):
        Settings().threshold = 1.0  # type: ignore[misc]


def test_settings_of_plain_values_can_be_pickled() -> None:
    """Settings can be handed to a worker process."""
    settings = resolve(threshold=0.2, reporters=["log"], own_code=["shop"])
    assert pickle.loads(pickle.dumps(settings)) == settings


def test_the_description_tells_what_is_not_the_default() -> None:
    """One short line for messages: names and values in the order of the settings, callables by their names."""
    assert resolve().describe() == "the default settings"
    assert resolve(threshold=0.05, prometheus="auto").describe() == "the default settings"
    settings = resolve(threshold=0.2, reporters=[report, "log"], prometheus=False, own_code=["shop"], queue_size=5)
    assert settings.describe() == (
        "threshold=0.2, reporters=(tests.made_settings.report, 'log'), prometheus=False, own_code=('shop',), "
        "queue_size=5"
    )
