"""Everything loopwatch raises on purpose.

    LoopwatchError
    ├── SettingsError        (also a ValueError)   a wrong argument or LOOPWATCH_* variable
    ├── AlreadyInstalled     (also a RuntimeError) a second install() with other settings
    ├── NotInstalled         (also a RuntimeError) the call needs a watch that is still installed
    ├── SelfCheckFailed      (also a RuntimeError) a hook was put in place and did not take
    ├── MissingExtra         (also an ImportError) an exporter's library is not installed
    ├── Blocked              (also an AssertionError) what assert_no_blocking() watched was blocked
    └── NothingMeasured      (also an AssertionError) assert_no_blocking() has seen no loop at work

Every message says what was wrong, the value, and what to do. None of them is ever raised into the
application after ``install()`` has returned; only calls made to loopwatch itself raise.
"""

from __future__ import annotations

__all__ = [
    "AlreadyInstalled",
    "Blocked",
    "LoopwatchError",
    "MissingExtra",
    "NotInstalled",
    "NothingMeasured",
    "SelfCheckFailed",
    "SettingsError",
]


_MOST_SHOWN = 200


def _shown(value: object) -> str:
    """``repr(value)``, cut where it is long; a wrong value may be anything, also one whose repr fails."""
    try:
        text = repr(value)
    except Exception:
        return f"<{type(value).__qualname__} that cannot be shown>"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


class LoopwatchError(Exception):
    """The root of the tree: ``except LoopwatchError`` catches all that loopwatch raises.

    ``args`` are what each class takes, so that an error survives the way out of a worker process.
    """


class SettingsError(LoopwatchError, ValueError):
    """Raised by ``install()`` when a setting has a value that it cannot have, or is none of those that exist.

    ``setting`` is the argument or the ``LOOPWATCH_*`` variable, ``allowed`` what its value may be (empty
    where there is no such setting), ``hint`` what to write instead, if that can be told. Where only one
    entry of a list is wrong, ``entry`` is true and ``value`` is that entry.
    """

    def __init__(self, setting: str, value: object, allowed: str, hint: str = "", entry: bool = False) -> None:
        super().__init__(setting, value, allowed, hint, entry)
        self.setting = setting
        self.value = value
        self.allowed = allowed
        self.hint = hint
        self.entry = entry

    def __str__(self) -> str:
        shown = _shown(self.value)
        if not self.allowed:
            wrong = f"is {shown}, but there is no such setting"
        elif self.entry:
            wrong = f"has the entry {shown}, which must be {self.allowed}"
        else:
            wrong = f"is {shown}, but must be {self.allowed}"
        return f"{self.setting} {wrong}.{' ' if self.hint else ''}{self.hint}"


class AlreadyInstalled(LoopwatchError, RuntimeError):
    """Raised by a second ``install()`` whose settings differ from those of the watch that runs."""

    def __init__(self, installed: object, requested: object) -> None:
        super().__init__(installed, requested)
        self.installed = installed
        self.requested = requested

    def __str__(self) -> str:
        return (
            f"a watch is already installed with {self.installed}; this call asks for {self.requested}. "
            "Call loopwatch.uninstall() first, or install once at start-up."
        )


class NotInstalled(LoopwatchError, RuntimeError):
    """Raised when a watch that was uninstalled is asked to do more than tell its numbers."""

    def __init__(self, call: str) -> None:
        super().__init__(call)
        self.call = call

    def __str__(self) -> str:
        return f"{self.call} needs an installed watch; this one was uninstalled. Call loopwatch.install() again."


class SelfCheckFailed(LoopwatchError, RuntimeError):
    """Raised by ``install()`` when a hook does not tick: a watch that sees nothing must not look healthy."""

    def __init__(
        self,
        hook: str,
        found: str,
        cure: str = "Install loopwatch before the tool that replaces this function, or report the combination.",
    ) -> None:
        super().__init__(hook, found, cure)
        self.hook = hook
        self.found = found
        self.cure = cure

    def __str__(self) -> str:
        return f"the hook on {self.hook} did not take: {self.found}. Nothing was left installed. {self.cure}"


class MissingExtra(LoopwatchError, ImportError):
    """Raised when a feature is asked for by name and its library is not installed."""

    def __init__(self, feature: str, library: str, extra: str) -> None:
        super().__init__(feature, library, extra)
        self.feature = feature
        self.library = library
        self.extra = extra

    def __str__(self) -> str:
        return (
            f"For {self.feature} loopwatch needs {self.library}, which is not installed. "
            f"Install it with: pip install 'loopwatch[{self.extra}]'"
        )


class Blocked(LoopwatchError, AssertionError):
    """Raised by ``assert_no_blocking()``: ``events`` are the findings, ``shown`` tells them in words."""

    def __init__(self, events: tuple[object, ...], shown: str) -> None:
        super().__init__(events, shown)
        self.events = events
        self.shown = shown

    def __str__(self) -> str:
        count = len(self.events)
        return f"{count} {'finding' if count == 1 else 'findings'} where nothing may block.\n{self.shown}"


class NothingMeasured(LoopwatchError, AssertionError):
    """Raised by ``assert_no_blocking()`` where it cannot know: nothing that ran was seen, or not all of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"nothing can be said of blocking here: {self.reason}. "
            "Put assert_no_blocking() around code that a loop runs."
        )
