"""What a user may choose: defaults, validation, and the LOOPWATCH_* environment.

The fields of :class:`Settings` are the one table: each names its default, how a text of the
environment becomes a value, how a value is checked, and the words that say what is allowed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from .errors import SettingsError
from .model import Event

PREFIX = "LOOPWATCH_"

NO_EXTENSIONS = "LOOPWATCH_NO_EXTENSIONS"
"""Environment variable: do without the stopwatch in C, when loopwatch is built and when it is imported."""

REQUIRE_C = "LOOPWATCH_REQUIRE_C"
"""Environment variable: neither build nor import loopwatch without it."""

_SWITCHES = frozenset((NO_EXTENSIONS, REQUIRE_C))
"""What decides before there is a watch is no setting of it, and no mistake."""


def is_on(switch: str, environ: Mapping[str, str]) -> bool:
    """Whether one of these variables is set, to anything but 0, false, no or off."""
    return environ.get(switch, "").strip().lower() not in ("", "0", "false", "no", "off")


Reporter = Callable[[Event], object]
"""Takes one event; called in the watch's reporter thread, one event at a time.

An object that also has a method ``finish()`` is told by it that the watch has ended.
"""

_T = TypeVar("_T")
_Check = Callable[[object], object]


class _Wrong(Exception):
    """Raised by parsers and checks with the offending value.

    ``reason`` is one sentence on what is wrong with this value in particular, or empty.
    """

    def __init__(self, value: object, reason: str = "") -> None:
        self.value = value
        self.reason = reason


class _WrongEntry(_Wrong):
    """The value is one of several in a sequence."""


class _Alone(_Wrong):
    """The value would be right as an entry of a sequence, and stands alone."""


class _Rule(NamedTuple):
    parse: Callable[[str], object]
    check: _Check
    allowed: str
    written: str
    """What is allowed in the environment."""
    each: str
    """What is allowed as an entry."""


def _setting(
    default: _T, parse: Callable[[str], object], check: _Check, allowed: str, written: str = "", each: str = ""
) -> _T:
    made: _T = field(default=default, metadata={"rule": _Rule(parse, check, allowed, written or allowed, each)})
    return made


# From the text of an environment variable to a value that the check then judges.


def _float(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        raise _Wrong(text) from None


def _int(text: str) -> object:
    try:
        return int(text)
    except ValueError:
        raise _Wrong(text) from None


def _entries(text: str) -> object:
    return tuple(entry.strip() for entry in text.split(","))


_SWITCH = {"auto": "auto", **dict.fromkeys(("true", "yes", "on", "1"), True)}
_SWITCH.update(dict.fromkeys(("false", "no", "off", "0"), False))


def _switch(text: str) -> object:
    return _SWITCH.get(text.strip().lower(), text)


# From a given value to the value that is kept.


def _seconds(least: float) -> _Check:
    def check(value: object) -> object:
        # The most is what a wait of the interpreter can be asked for on every platform.
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= 1e9:
            raise _Wrong(value)
        return float(value)

    return check


def _count(least: int, most: int) -> _Check:
    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _Wrong(value)
        return int(value)

    return check


def _sequence(of: _Check) -> _Check:
    def check(value: object) -> object:
        if isinstance(value, str):
            raise _Alone(value)
        if isinstance(value, bytes) or not isinstance(value, Sequence):
            raise _Wrong(value)
        return tuple(_entry(entry, of) for entry in value)

    return check


def _entry(value: object, of: _Check) -> object:
    try:
        return of(value)
    except _Wrong as wrong:
        raise _WrongEntry(wrong.value, wrong.reason) from None


def _dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _module_prefix(value: object) -> object:
    if not isinstance(value, str) or not _dotted(value):
        raise _Wrong(value)
    return value


def check_reporter(value: object) -> Reporter:
    """``value`` if it can be a reporter: callable, and a call does the work (of a class or a coroutine it would not).

    Raises :class:`ValueError` that says why not.
    """
    if isinstance(value, type):
        raise ValueError("it is a class; give an instance of it")
    if not callable(value):
        raise ValueError("it cannot be called")
    for function in (value, type(value).__call__):
        if inspect.iscoroutinefunction(function):
            raise ValueError("it is a coroutine function, which nobody would await; give a plain function")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ValueError("it is a generator function, which nobody would iterate; give a plain function")
    return value


def name_of(value: object) -> str:
    """A function's dotted name, or the class of another object with its address.

    Never its ``repr``, in which a partial or a client shows its arguments.
    """
    name = getattr(value, "__qualname__", None)
    return f"{getattr(value, '__module__', '?')}.{name}" if name else f"<{type(value).__qualname__} {id(value):#x}>"


def _spec(spec: str) -> str:
    kind, colon, rest = spec.partition(":")
    if spec == "log" or (kind == "jsonl" and rest) or (colon and _dotted(kind) and _dotted(rest)):
        return spec
    raise _Wrong(spec)


def _reporter(value: object) -> object:
    if isinstance(value, str):
        return _spec(value)
    try:
        return check_reporter(value)
    except ValueError as refused:
        raise _Wrong(value, f"This one will not do: {refused}.") from None


def _reporters(value: object) -> object:
    if value is None:
        return None
    if callable(value):
        raise _Alone(_reporter(value))
    return _sequence(_reporter)(value)


def _prometheus(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and value == "auto"):
        return value
    registry = not isinstance(value, type) and all(
        callable(getattr(value, name, None)) for name in ("register", "unregister", "collect")
    )
    if not registry:
        raise _Wrong(value)
    return value


def _choice(value: object) -> object:
    if isinstance(value, bool) or (isinstance(value, str) and value == "auto"):
        return value
    raise _Wrong(value)


@dataclass(frozen=True)
class Settings:
    """The choices of one watch. Made by :meth:`resolve`; a direct call takes the values as they are.

    Each setting can also be given as the environment variable ``LOOPWATCH_<NAME>`` in capitals.
    """

    threshold: float = _setting(0.05, _float, _seconds(0.001), "a number of seconds from 0.001 to 1e9")
    """Seconds that a step or a turn may hold a loop."""

    executor_wait: float = _setting(0.05, _float, _seconds(0.001), "a number of seconds from 0.001 to 1e9")
    """Seconds that a job may wait for a worker."""

    reporters: tuple[Reporter | str, ...] | None = _setting(
        None, _entries, _reporters,
        "a list of functions that take one event, or of the texts 'log', 'jsonl:PATH' and 'package.module:callable'",
        "a comma list of log, jsonl:PATH and package.module:callable",
        "a function that takes one event, or one of the texts 'log', 'jsonl:PATH' and 'package.module:callable'",
    )  # fmt: skip
    """Who is told of events; None is the log reporter."""

    prometheus: Any = _setting(
        "auto", _switch, _prometheus,
        "True, False, 'auto', or a registry with register(), unregister() and collect()",
        "true, false or auto",
    )  # fmt: skip
    """Where the collector is registered: ``"auto"`` is the default registry if prometheus_client is importable."""

    own_code: tuple[str, ...] = _setting(
        (), _entries, _sequence(_module_prefix),
        "a list of module names such as 'shop' or 'shop.views'",
        "a comma list of module names such as shop or shop.views",
        "a module name such as 'shop' or 'shop.views'",
    )  # fmt: skip
    """Modules that count as the user's own code, with all below them, wherever they are installed."""

    repeat_interval: float = _setting(60.0, _float, _seconds(0), "a number of seconds from 0 to 1e9")
    """Seconds in which the log reporter says the same (cause, site) only once; 0 never suppresses."""

    queue_size: int = _setting(1000, _int, _count(1, 1_000_000), "a whole number from 1 to 1000000")
    """Events that may wait for slow reporters; more are dropped and counted."""

    max_sites: int = _setting(32, _int, _count(1, 1000), "a whole number from 1 to 1000")
    """Distinct values of the metric label ``site``; all further sites are summed as ``other``."""

    exact_uvloop: bool | str = _setting("auto", _switch, _choice, "True, False or 'auto'", "true, false or auto")
    """Whether callbacks given to uvloop are timed one by one; ``"auto"``: where that is done in C."""

    in_environment: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """The names of those settings whose values came from their ``LOOPWATCH_*`` variables."""

    @staticmethod
    def resolve(given: Mapping[str, object], environ: Mapping[str, str]) -> Settings:
        """The settings by precedence: argument (a key of ``given``), ``LOOPWATCH_*`` variable, default.

        An empty variable counts as unset. Raises :class:`SettingsError` for a wrong value, which names
        the argument or the variable, and for an unknown argument or ``LOOPWATCH_*`` variable.
        """
        rules = _rules()
        variables = {PREFIX + name.upper(): name for name in rules}
        ours = {
            name: text
            for name, text in environ.items()
            if name.startswith(PREFIX) and text.strip() and name not in _SWITCHES
        }
        _refuse_unknown(given, rules)
        _refuse_unknown(ours, variables)
        values: dict[str, Any] = {}
        for variable, name in variables.items():
            if name in given:
                values[name] = _checked(name, given[name], rules[name])
            elif variable in ours:
                values[name] = _parsed(variable, ours[variable], rules[name])
        return Settings(**values, in_environment=frozenset(values) - frozenset(given))

    def named(self, name: str) -> str:
        """What the user knows the setting ``name`` by: its variable where the value came from there."""
        return PREFIX + name.upper() if name in self.in_environment else name

    def describe(self) -> str:
        """The values that are not the default, in one short line for messages."""
        defaults = Settings()
        chosen = [
            f"{name}={_short(getattr(self, name))}"
            for name in _rules()
            if getattr(self, name) != getattr(defaults, name)
        ]
        return ", ".join(chosen) or "the default settings"


def _rules() -> dict[str, _Rule]:
    return {entry.name: entry.metadata["rule"] for entry in fields(Settings) if "rule" in entry.metadata}


def _checked(name: str, value: object, rule: _Rule) -> object:
    try:
        return rule.check(value)
    except _Alone:
        raise SettingsError(name, value, rule.allowed, f"Write {name}={_listed(value)}.") from None
    except _WrongEntry as wrong:
        raise SettingsError(name, wrong.value, rule.each, wrong.reason, entry=True) from None
    except _Wrong as wrong:
        raise SettingsError(name, wrong.value, rule.allowed, wrong.reason) from None
    except Exception as error:  # the value may be anything, also an object that raises when it is looked at
        raise SettingsError(name, value, rule.allowed) from error


def _listed(value: object) -> str:
    """How the same is written as a list; of a text, what stands between its commas."""
    if isinstance(value, str):
        return repr([entry.strip() for entry in value.split(",")])
    return f"[{getattr(value, '__name__', None) or '...'}]"


def _parsed(variable: str, text: str, rule: _Rule) -> object:
    try:
        return rule.check(rule.parse(text))
    except _Wrong as wrong:
        raise SettingsError(variable, text, rule.written, wrong.reason) from None


def _refuse_unknown(found: Mapping[str, object], known: Mapping[str, object]) -> None:
    for name, value in found.items():
        if name not in known:
            import difflib  # a mistake is rare, and the module is not small

            names = {each.removeprefix(PREFIX).lower(): each for each in known}
            nearest = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), names, n=1)
            meant = f"Did you mean {names[nearest[0]]}? " if nearest else ""
            raise SettingsError(name, value, "", f"{meant}Those that exist are {', '.join(sorted(known))}.")


def _short(value: object) -> str:
    if isinstance(value, tuple):
        inner = ", ".join(map(_short, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value) if value is None or isinstance(value, (str, int, float)) else name_of(value)
