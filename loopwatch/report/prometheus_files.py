"""The numbers of one of several processes, in files that prometheus_client's ``MultiProcessCollector`` adds up.

A custom collector is not seen there, and the library's own metric objects are for counting, not for numbers that
exist already. So the numbers are written as they are, in its format, from a thread of our own, into files of our own:
the application's files, and the lock that the library takes for each of its counts, are left alone.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

from ..errors import MissingExtra
from ..metrics import METRICS, Metric
from ..model import Histogram
from .prometheus import encodable, les
from .readings import Reading

try:
    from prometheus_client import CollectorRegistry, values
    from prometheus_client.mmap_dict import MmapedDict, mmap_key
    from prometheus_client.multiprocess import MultiProcessCollector
except ImportError as missing:
    raise MissingExtra("Prometheus metrics", "prometheus_client", "prometheus") from missing

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger("loopwatch")

EVERY = 1.0
"""Seconds between two writings: so old are the numbers of a process in a scrape, at most."""
_SIZE = 1 << 16
_TRIES = 8


def directory() -> Path | None:
    """Where prometheus_client keeps the numbers of several processes; None where there is but one.

    It decides when it is imported, by ``PROMETHEUS_MULTIPROC_DIR``; what it has decided is what counts.
    """
    named = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(named) if named and getattr(values.ValueClass, "_multiprocess", False) else None


def registry_of_all() -> CollectorRegistry:
    """A registry with what all processes have written, the application's own metrics among it."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class SharedFiles:
    """Writes what ``readings`` tells into files in ``folder``, every second from a daemon thread.

    Counters and histograms of a process that is gone go on to count; its gauges are removed, by whichever process
    next finds that its lock is free. Numbers never go backwards where a process id comes again.
    """

    def __init__(self, folder: Path, readings: Callable[[], Mapping[str, list[Reading]]]) -> None:
        self._folder = folder
        self._readings = readings
        self._failed = False
        self._forget()

    def _forget(self) -> None:
        self._files: dict[str, Any] = {}
        self._series: dict[tuple[str, tuple[str, ...]], _Series] = {}
        self._ended = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        """Begin to write. Raises RuntimeError where no thread can be had."""
        thread = Thread(target=self._run, name="loopwatch-metrics-files", daemon=True)
        thread.start()
        self._thread = thread

    def _run(self) -> None:
        ended = self._ended
        while True:
            self._write()
            if ended.wait(EVERY):
                return

    def stop(self) -> None:
        """Have the thread end, and wait for it."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def finish(self) -> None:
        """Write for the last time: the counts as they ended, and that there is nothing now. After ``stop()``."""
        self._write(over=True)
        self._close()

    def after_fork(self) -> None:
        """In a child: the files and the lock are the parent's, and the thread was."""
        _alive.after_fork()
        self._close()
        self._forget()

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._series.clear()

    def _write(self, over: bool = False) -> None:
        try:
            _alive.hold(self._folder)
            _sweep(self._folder)
            self._write_all(over)
        except Exception:
            if not self._failed:
                self._failed = True
                _log.exception("loopwatch: its metrics could not be written to %s.", self._folder)

    def _write_all(self, over: bool) -> None:
        readings = self._readings()
        told = set()
        for metric in METRICS.values():
            for labels, value in readings[metric.prometheus]:
                place = (metric.prometheus, labels)
                told.add(place)
                series = self._series.get(place) or self._begin(metric, labels, value)
                series.write(_numbers(value))
        # A key cannot be taken out again: what is no longer told is nothing.
        for place, series in self._series.items():
            if series.now and (over or place not in told):
                series.write((0.0,))

    def _begin(self, metric: Metric, labels: tuple[str, ...], value: float | Histogram) -> _Series:
        series = _Series(self._file(_kind(metric)), list(_keys(metric, labels, value)), _is_of_now(metric))
        self._series[metric.prometheus, labels] = series
        return series

    def _file(self, kind: str) -> Any:
        file = self._files.get(kind)
        if file is None:
            path = self._folder / f"{kind}_{_mine()}.db"
            _prepare(path)
            file = self._files[kind] = MmapedDict(str(path))  # type: ignore[no-untyped-call]
        return file


class _Series:
    """Where the numbers of one reading stand in a file, and what they are."""

    def __init__(self, file: Any, keys: list[str], now: bool) -> None:
        self._file = file
        self._keys = keys
        self.now = now
        # What stands there was counted by an earlier process with this id, or by an earlier watch of this one.
        self._before = [0.0 if now else file.read_value(key)[0] for key in keys]
        self._written: list[float | None] = [None] * len(keys)

    def write(self, numbers: tuple[float, ...]) -> None:
        for index, number in enumerate(numbers):
            if number != self._written[index]:
                self._written[index] = number
                self._file.write_value(self._keys[index], self._before[index] + number, 0.0)


def _numbers(value: float | Histogram) -> tuple[float, ...]:
    return (*value.counts, value.sum) if isinstance(value, Histogram) else (value,)


def _keys(metric: Metric, labels: tuple[str, ...], value: float | Histogram) -> Iterator[str]:
    """The keys of the numbers, as the library writes them: buckets not cumulative, and no count, which it adds up."""
    name, help = metric.prometheus, metric.help
    family = name.removesuffix("_total") if metric.type == "counter" else name  # an info is a gauge here
    names, texts = list(metric.labels), [encodable(label) for label in labels]
    if not isinstance(value, Histogram):
        yield mmap_key(family, name, names, texts, help)
        return
    for le in les(value.bounds):
        yield mmap_key(family, f"{name}_bucket", [*names, "le"], [*texts, le], help)
    yield mmap_key(family, f"{name}_sum", names, texts, help)


def _is_of_now(metric: Metric) -> bool:
    return metric.type in ("gauge", "info")


def _kind(metric: Metric) -> str:
    """The first words of the file's name, from which the library knows how to add up."""
    return f"gauge_live{metric.together}" if _is_of_now(metric) else metric.type


# --- who is alive ------------------------------------------------------------------------------


def _mine() -> str:
    return f"loopwatch-{os.getpid()}"


def _prepare(path: Path) -> None:
    """Have the file in its first size, so that nobody who reads meets an empty one, nor a full disk a write."""
    if not path.exists():
        made = path.with_suffix(".new")
        made.write_bytes(bytes(_SIZE))
        made.replace(path)


class _Alive:
    """A lock on a file that the kernel gives back when this process ends, however it ends; never before.

    It is held for the whole life, also between two watches. A POSIX record lock: a forked child does not have it.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[Path, int], int] = {}

    def hold(self, folder: Path) -> None:
        if fcntl is None or (folder, os.getpid()) in self._held:
            return
        path = folder / f"{_mine()}.lock"
        for _ in range(_TRIES):
            descriptor = _taken(path, os.O_RDWR | os.O_CREAT)
            if descriptor is not None:
                self._held[folder, os.getpid()] = descriptor
                return

    def after_fork(self) -> None:
        """In a child, which has the descriptors but not the locks."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


_alive = _Alive()


def _taken(path: Path, flags: int) -> int | None:
    """The file, locked; None where another process has it, or has just removed it."""
    try:
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
            return descriptor
    except OSError:  # somebody lives
        pass
    os.close(descriptor)
    return None


def _sweep(folder: Path) -> None:
    """Remove what processes that are gone have left of now."""
    if fcntl is None:
        return
    for lock in folder.glob("loopwatch-*.lock"):
        if lock.stem == _mine():  # to close another descriptor of it would give our lock back
            continue
        descriptor = _taken(lock, os.O_RDWR)
        if descriptor is None:
            continue
        try:
            for left in folder.glob(f"gauge_live*_{lock.stem}.db"):
                left.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
