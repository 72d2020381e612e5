"""Events as a file of JSON lines, with rotation, safe for several processes that write the same path."""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import SettingsError
from ..model import Event

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class JsonLinesReporter:
    """Appends one JSON object a line to ``path``; a full file becomes ``path.1``, that one ``path.2``, and so on.

    No file grows beyond ``max_bytes`` (unless one single line is longer), and at most ``backups`` old
    files are kept. Nothing stays open between two events: each one takes an exclusive lock on
    ``path.lock``, opens what ``path`` names now, and writes once. So rotation by another process, a
    fork and a log rotator all do no harm. Where the platform has no ``fcntl`` the lock holds only
    within the process, and each process needs a file of its own.

    The file is created at once, its folder never: a path that cannot be written raises
    :class:`OSError` here, which names that path, and not at the first event. Calls raise
    :class:`OSError` when the write fails; a line is then either whole in the file or not in it.
    """

    def __init__(self, path: str | os.PathLike[str], max_bytes: int = 10_000_000, backups: int = 3) -> None:
        _check_whole("max_bytes", max_bytes, 1)
        _check_whole("backups", backups, 0)
        self.path = os.path.abspath(os.fsdecode(path))
        self.max_bytes = max_bytes
        self.backups = backups
        self._threads = threading.Lock()
        os.close(os.open(self.path, _APPEND, 0o666))  # before the lock: an error names the file that was asked for
        with self._alone():
            pass

    def __call__(self, event: Event) -> None:
        """Write ``event``; may be called from any thread and any forked process."""
        line = json.dumps(event.to_dict()).encode() + b"\n"
        with self._alone():
            if not self._append(line):
                self._rotate()
                self._append(line)

    def _append(self, line: bytes) -> bool:
        """Write ``line`` unless that would make a file that has lines already too long."""
        descriptor = os.open(self.path, _APPEND, 0o666)
        try:
            size = os.fstat(descriptor).st_size
            if size and size + len(line) > self.max_bytes:
                return False
            if os.write(descriptor, line) != len(line):
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, "only a part of the line could be written", self.path)
            return True
        finally:
            os.close(descriptor)

    def _rotate(self) -> None:
        names = [self.path, *(f"{self.path}.{number}" for number in range(1, self.backups + 1))]
        if self.backups == 0:
            os.unlink(self.path)
        for older, newer in zip(reversed(names), reversed(names[:-1])):
            if os.path.exists(newer):
                os.replace(newer, older)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if fcntl is None:
            with self._threads:
                yield
            return
        # The lock belongs to this one opening of the file, so it keeps threads apart as well as
        # processes. It is released explicitly: a child forked at this moment has the descriptor too,
        # and closing ours alone would leave the file locked.
        descriptor = self._open_lock()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _open_lock(self) -> int:
        try:
            return os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            reason = f"{error.strerror} (a lock is kept beside the file, so its folder must be writable too)"
            raise OSError(error.errno, reason, self.path) from None


def _check_whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise SettingsError(name, value, f"a whole number, at least {least}")
