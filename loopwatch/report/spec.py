"""From the text that names a reporter (``log``, ``jsonl:PATH``, ``package.module:callable``) to the reporter."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial, reduce

from ..errors import SettingsError
from ..settings import Reporter, Settings, check_reporter
from .jsonl import JsonLinesReporter
from .log import LogReporter


def prepare_reporters(settings: Settings) -> Callable[[], list[Reporter]]:
    """What makes the chosen reporters; all of them are found here, and their files are opened when it is called.

    So a reporter that does not exist, or an install that is refused for another reason, leaves no file behind.
    Raises :class:`SettingsError`, here or there.
    """
    chosen = ("log",) if settings.reporters is None else settings.reporters
    makers = [_maker(reporter, settings) for reporter in chosen]
    return lambda: [make() for make in makers]


def _maker(reporter: Reporter | str, settings: Settings) -> Callable[[], Reporter]:
    if isinstance(reporter, str):
        if reporter.startswith("jsonl:"):
            return partial(resolve_reporter, reporter, settings)
        reporter = resolve_reporter(reporter, settings)
    found: Reporter = reporter
    return lambda: found


def resolve_reporter(spec: str, settings: Settings) -> Reporter:
    """The reporter that ``spec`` names, ready to be called.

    Imports the user's module for ``package.module:callable`` and opens the file for ``jsonl:PATH``.
    Raises :class:`SettingsError` where that fails; in any thread.
    """
    if spec == "log":
        return LogReporter(repeat_interval=settings.repeat_interval)
    kind, _, rest = spec.partition(":")
    setting = settings.named("reporters")
    return _file(setting, spec, rest) if kind == "jsonl" else _named(setting, spec, kind, rest)


def _file(setting: str, spec: str, path: str) -> Reporter:
    try:
        return JsonLinesReporter(path)
    except (OSError, ValueError) as error:  # ValueError: no file can have such a name
        allowed = f"jsonl:PATH with a file that can be written ({error})"
        raise SettingsError(setting, spec, allowed, entry=True) from error


def _named(setting: str, spec: str, module: str, name: str) -> Reporter:
    try:
        found: object = reduce(getattr, name.split("."), importlib.import_module(module))
        return check_reporter(found)
    except (Exception, SystemExit) as error:  # the user's module may raise anything while it is imported
        allowed = f"package.module:callable of a reporter ({type(error).__name__}: {error})"
        raise SettingsError(setting, spec, allowed, entry=True) from error
