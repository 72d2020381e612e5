"""Who is to be charged: the user's own code among the frames of a stack.

Everything here may be called from any thread; nothing reads a clock or a source file. The only
file system access is in ``Places.of_this_interpreter``, which resolves a few prefixes once.
"""

from __future__ import annotations

import dis
import os
import site
import sys
from collections.abc import Sequence
from types import CodeType, FunctionType
from typing import Literal, NamedTuple

from .._names import namespace, qualified_name
from ..facts import RawFrame
from ..model import Frame

Kind = Literal["own", "library", "stdlib", "loopwatch"]
"""Whose code a file is: the user's, an installed library's, the standard library's, or ours."""

CACHED_FILES = 2048
_INSTALLED_PARTS = frozenset({"site-packages", "dist-packages", "__pypackages__"})
_RESUME = dis.opmap.get("RESUME")
_YIELD, _YIELD_FROM = dis.opmap["YIELD_VALUE"], dis.opmap.get("YIELD_FROM", 0)


class Places(NamedTuple):
    """Folders, without a separator at the end, each as configured and with symbolic links resolved."""

    stdlib: tuple[str, ...]
    installed: tuple[str, ...]
    loopwatch: tuple[str, ...]
    scripts: tuple[str, ...] = ()

    @classmethod
    def of_this_interpreter(cls) -> Places:
        """The folders of the running interpreter, be it in a virtual environment or not."""
        # Not from sysconfig, which then keeps in memory all that the interpreter was built with. And os.__file__
        # tells the truth also where the interpreter was moved or its library zipped.
        stdlib = _both_ways(os.path.dirname(os.__file__))
        installed = _both_ways(*site.getsitepackages())
        scripts = _both_ways(os.path.join(sys.prefix, "Scripts" if os.name == "nt" else "bin"))
        return cls(stdlib, installed, _both_ways(os.path.dirname(os.path.dirname(__file__))), scripts)


def _both_ways(*folders: str | None) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for folder in folders:
        for path in (folder, os.path.realpath(folder)) if folder else ():
            found[_plain(path)] = None
    return tuple(found)


def _plain(path: str) -> str:
    return os.path.normcase(os.path.normpath(path))


class OwnCode:
    """Decides whether code is the user's own, from its file name and its module's name.

    ``own_code`` are module names that count as own, with all below them, wherever they are
    installed: ``shop`` stands for ``shop`` and ``shop.views``, not for ``shopping``. Answers are
    remembered per file, for at most ``CACHED_FILES`` files.
    """

    def __init__(self, own_code: Sequence[str] = (), places: Places | None = None) -> None:
        self._declared = tuple(own_code)
        self._below = tuple(f"{name}." for name in own_code)
        self._places = places or Places.of_this_interpreter()
        self._kinds: dict[str, Kind] = {}

    def is_own(self, file: str, module: str) -> bool:
        """Whether the user is to be charged with what this code does."""
        return self.kind(file, module) == "own"

    def owns(self, frame: RawFrame) -> bool:
        """The same for a frame."""
        return self.is_own(frame.code.co_filename, frame.module)

    def kind(self, file: str, module: str) -> Kind:
        """Whose code this is."""
        kind = self._of_pseudo_file(file, module) if file.startswith("<") else self._of_path(file)
        declared = module in self._declared or module.startswith(self._below)
        return "own" if declared and kind != "loopwatch" else kind

    def _of_pseudo_file(self, file: str, module: str) -> Kind:
        """Code without a file: typed in, or generated, and then it belongs to the module that had it made."""
        if file.startswith("<frozen "):
            return "stdlib"
        if module == "__main__":  # also at the prompt of a program such as "python -m asyncio"
            return "own"
        made_in = namespace(sys.modules.get(module)).get("__file__")
        return self._of_path(made_in) if type(made_in) is str else "own"

    def _of_path(self, file: str) -> Kind:
        kind = self._kinds.get(file)
        if kind is None:
            kind = self._classify(_plain(file))
            if len(self._kinds) >= CACHED_FILES:
                self._kinds.clear()
            self._kinds[file] = kind
        return kind

    def _classify(self, path: str) -> Kind:
        # Most specific first: the standard library's folder may hold site-packages, which may hold loopwatch.
        if _under(path, self._places.loopwatch):
            return "loopwatch"
        if not _INSTALLED_PARTS.isdisjoint(path.split(os.sep)) or _under(path, self._places.installed):
            return "library"
        if os.path.dirname(path) in self._places.scripts and _only_starts(path):
            return "library"
        return "stdlib" if _under(path, self._places.stdlib) else "own"


def _only_starts(path: str) -> bool:
    """Whether the script that runs is an installer's: it defines nothing, and calls what a package defines."""
    names = namespace(sys.modules.get("__main__"))
    file = names.get("__file__")
    if type(file) is not str or _plain(file) != path:
        return False
    return not any(
        type(value) is FunctionType and _plain(value.__code__.co_filename) == path for value in list(names.values())
    )


def _under(path: str, folders: tuple[str, ...]) -> bool:
    return any(path.startswith(folder + os.sep) for folder in folders)


def line_of(code: CodeType, lasti: int) -> int:
    """The line of the instruction at byte offset ``lasti``; the first line of the code where it has none."""
    if lasti >= 0:
        for start, end, line in code.co_lines():
            if start <= lasti < end:
                return line or code.co_firstlineno  # the first instruction of a module has line 0
    return code.co_firstlineno


def to_frame(raw: RawFrame) -> Frame:
    """The frame in words, fit to travel."""
    code, lasti, module = raw
    return Frame(module, qualified_name(code, module), code.co_filename, line_of(code, lasti))


def to_stack(frames: Sequence[RawFrame]) -> tuple[Frame, ...]:
    """All frames in words, in the given order."""
    return tuple(map(to_frame, frames))


def in_package(module: str, package: str) -> bool:
    """Whether ``module`` is ``package`` or lies in it."""
    return module == package or module.startswith(package + ".")


def find_culprit(frames: Sequence[RawFrame], own: OwnCode) -> RawFrame | None:
    """The innermost own frame of a stack (outermost first).

    Without one, the outermost library frame that the loop entered: what asyncio itself runs around
    it says nothing. None when there is no frame but loopwatch's.
    """
    for frame in reversed(frames):
        if own.owns(frame):
            return frame
    others = [frame for frame in frames if own.kind(frame.code.co_filename, frame.module) != "loopwatch"]
    entered = (frame for frame in others if not in_package(frame.module, "asyncio"))
    return next(entered, others[0] if others else None)


def first_import(frames: Sequence[RawFrame]) -> int | None:
    """The position of the first frame of the import system, None where nothing is being imported."""
    for index, frame in enumerate(frames):
        if frame.code.co_filename.startswith("<frozen importlib."):
            return index
        if frame.module == "importlib" and frame.code.co_name in ("import_module", "reload"):
            return index
    return None


def import_culprit(frames: Sequence[RawFrame], own: OwnCode) -> RawFrame | None:
    """The frame whose import statement (or call of ``import_module``) set off all the importing below it.

    A library that imports late is not charged while own code called it. None when the stack imports nothing.
    """
    first = first_import(frames)
    if first is None:
        return None
    before = frames[:first]
    own_frame = next((frame for frame in reversed(before) if own.owns(frame)), None)
    return own_frame or (before[-1] if before else find_culprit(frames, own))


def charged(frames: Sequence[RawFrame], own: OwnCode) -> RawFrame | None:
    """The frame to charge with what a stack shows: who set off the import, otherwise the culprit."""
    return import_culprit(frames, own) or find_culprit(frames, own)


def trim_late(frames: tuple[RawFrame, ...]) -> tuple[RawFrame, ...]:
    """Drops the innermost frame where it has only just been entered or resumed.

    A thread that held the interpreter gives it up where the next function begins. A look taken then
    shows that function, and not the one that held: its caller. A lone frame stays.
    """
    if len(frames) < 2 or not just_entered(frames[-1]):
        return frames
    return frames[:-1]


def just_entered(frame: RawFrame) -> bool:
    """Whether a frame has run nothing yet, or nothing since it was resumed."""
    code = frame.code.co_code
    if _RESUME is None:
        # Python 3.10 stands still at the yield, or one instruction before the await, and goes on from there.
        return frame.lasti <= 0 or code[frame.lasti] == _YIELD or _YIELD_FROM in code[frame.lasti : frame.lasti + 3 : 2]
    begin = next((at for at in range(0, len(code), 2) if code[at] == _RESUME), 0)
    return frame.lasti <= begin or code[frame.lasti] == _RESUME
