"""Stacks as a person reads them: the own frames and what they called, the libraries around them in a word.

An event keeps the whole stack; only its picture is short. Reads source lines: not for the loop's thread.
"""

from __future__ import annotations

import linecache
import re
import sys
import tokenize
from collections.abc import Collection, Sequence
from functools import lru_cache
from itertools import groupby, islice

from ..model import Frame

_INSTALLED = frozenset({"site-packages", "dist-packages", "__pypackages__"})
_LONGEST_SOURCE = 160
_LINES_KEPT = 256
"""Lines of source: the outer frames of all stacks are much the same."""
_PACKAGES = 4

_Calls = list[tuple[Frame, int]]
"""Frames, and how many times in a row each stands there."""


def picture(stack: Sequence[Frame], culprit: Frame | None, most: int) -> list[str]:
    """The frames that matter, at most so many, the culprit marked; for the others how many, and of which packages.

    Frames are printed as Python does it, so that people and tools find the place.
    """
    calls = _calls(stack)
    marked = _last(calls, culprit)
    return _lines(calls, marked, _chosen([frame for frame, _ in calls], marked, most))


def whole(stack: Sequence[Frame], culprit: Frame | None) -> list[str]:
    """The same with all frames."""
    calls = _calls(stack)
    return _lines(calls, _last(calls, culprit), range(len(calls)))


def cut(text: str, most: int) -> str:
    """At most so many characters, with dots where something was cut off."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _calls(stack: Sequence[Frame]) -> _Calls:
    """Without our own: what stands in for a function of the application's is of no use to who reads of it."""
    shown = [frame for frame in stack if _package(frame) != "loopwatch"]
    return [(frame, len(list(same))) for frame, same in groupby(shown)]


def _last(calls: _Calls, culprit: Frame | None) -> int | None:
    return max((index for index, (frame, _) in enumerate(calls) if frame == culprit), default=None)


def _chosen(frames: Sequence[Frame], marked: int | None, most: int) -> list[int]:
    """Own frames, the first that the innermost of them called, and the innermost of all; near the culprit first."""
    if not frames:
        return []
    own = _own(frames, marked)
    pivot = marked if marked is not None else max(own, default=0)
    last = len(frames) - 1
    called = next((index for index in range(pivot + 1, last) if not _imports(frames[index])), last)
    first = {pivot, called, last}
    others = sorted(own - first, key=lambda index: abs(index - pivot))
    return sorted([*first, *others[: most - len(first)]])


def _own(frames: Sequence[Frame], marked: int | None) -> set[int]:
    """Those that are no library's; a culprit's own package is none, wherever it is installed."""
    home = _package(frames[marked]) if marked is not None else None
    return {
        index
        for index, frame in enumerate(frames)
        if not _is_library(frame) or (marked is not None and index < marked and _package(frame) == home)
    }


def _is_library(frame: Frame) -> bool:
    if frame.file.startswith("<frozen ") or _package(frame) in sys.stdlib_module_names:
        return True
    return not _INSTALLED.isdisjoint(re.split(r"[\\/]", frame.file))


def _imports(frame: Frame) -> bool:
    """Whether it is the import system at work, which says nothing of what is imported."""
    return frame.file.startswith("<frozen importlib.")


def _package(frame: Frame) -> str:
    return frame.module.partition(".")[0]


def _lines(calls: _Calls, marked: int | None, chosen: Collection[int]) -> list[str]:
    lines = []
    following = 0
    for index in chosen:
        lines += _gap(calls[following:index])
        following = index + 1
        frame, times = calls[index]
        mark = ">" if index == marked else " "
        lines.append(f'  {mark} File "{frame.file}", line {frame.line}, in {frame.function}')
        lines += [f"        {source}" for source in _source(frame)]
        if times > 1:
            lines.append(f"    ... {times} times in a row")
    return lines


def _gap(calls: _Calls) -> list[str]:
    count = sum(times for _, times in calls)
    if not count:
        return []
    packages = list(dict.fromkeys(package for frame, _ in calls if (package := _package(frame))))
    if len(packages) > _PACKAGES:
        packages[_PACKAGES - 1 :] = ["others"]
    of = f" of {', '.join(packages)}" if packages else ""
    return [f"    ... {count} {'frame' if count == 1 else 'frames'}{of}"]


def _source(frame: Frame) -> list[str]:
    try:
        # What has a pseudo name, or is there already, may be in no file: a prompt, a notebook, a loader of its own.
        there = frame.file.startswith("<") or frame.file in linecache.cache
        line = linecache.getline(frame.file, frame.line) if there else _line(frame.file, frame.line)
    except Exception:  # a loader of the application's, or a name that no file can have
        return []
    text = line.expandtabs().strip()
    return [cut(text, _LONGEST_SOURCE)] if text else []


@lru_cache(maxsize=_LINES_KEPT)
def _line(file: str, number: int) -> str:
    """One line of a file, which is read up to there and not kept: ``linecache`` would keep all of it, for good."""
    with tokenize.open(file) as lines:
        return next(islice(lines, number - 1, None), "")
