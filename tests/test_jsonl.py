"""The file of JSON lines: whole lines, bounded size, nothing lost between threads, processes and rotations."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loopwatch.errors import SettingsError
from loopwatch.model import Offload, Stall
from loopwatch.report.jsonl import JsonLinesReporter

ROOT = Path(__file__).resolve().parent.parent
STALL = Stall(id="0", kind="step", duration=0.1, started_at=0.0, loop="main", thread="MainThread")
LINE = len(json.dumps(STALL.to_dict())) + 1
"""Bytes of each line whose ``id`` is one digit."""

needs_flock = pytest.mark.skipif(sys.platform == "win32", reason="without fcntl each process needs its own file")


def event(name: object) -> Stall:
    return replace(STALL, id=str(name))


def lines(*paths: Path) -> list[dict[str, Any]]:
    """All lines of the files, each of which must be whole."""
    found = []
    for path in paths:
        text = path.read_bytes()
        assert text == b"" or text.endswith(b"\n")
        found += [json.loads(line) for line in text.splitlines()]
    return found


def ids(*paths: Path) -> list[str]:
    return [line["id"] for line in lines(*paths)]


def files(path: Path) -> list[str]:
    """The names of the event files, oldest last; the lock is none of them."""
    found = [each.name for each in path.parent.iterdir() if each.name.startswith(path.name)]
    return sorted(name for name in found if not name.endswith(".lock"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


# --- what is written ---


def test_an_event_is_one_line_of_json(path: Path) -> None:
    """The line is the event's dictionary, in the file when the call returns."""
    reporter = JsonLinesReporter(path)
    assert path.read_bytes() == b""
    reporter(STALL)
    assert lines(path) == [STALL.to_dict()]
    offload = Offload(
        site="a:1", target="b", executor="default", jobs=1, wait_seconds=0.0, run_seconds=1.0, cpu_seconds=None
    )
    reporter(offload)
    assert lines(path) == [STALL.to_dict(), offload.to_dict()]


def test_lines_are_added_to_what_is_there(path: Path) -> None:
    """A restart goes on in the same file."""
    JsonLinesReporter(path)(event(1))
    JsonLinesReporter(path)(event(2))
    assert ids(path) == ["1", "2"]


def test_a_line_is_strict_json_whatever_is_in_the_event(path: Path) -> None:
    """NaN and infinities are null; line breaks, quotes and lone surrogates stay inside their line."""
    evidence = {"nan": math.nan, "deep": [{"inf": -math.inf}], "object": path}
    JsonLinesReporter(path)(replace(STALL, duration=math.nan, task='a\n"b"\u2028\ud800', evidence=evidence))
    (raw,) = path.read_bytes().splitlines()

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    line = json.loads(raw, parse_constant=refuse)
    assert line["duration"] is None
    assert line["task"] == 'a\n"b"\u2028\ud800'
    assert line["evidence"] == {"nan": None, "deep": [{"inf": None}], "object": str(path)}


@pytest.mark.parametrize("kind", [str, Path, os.fsencode], ids=["str", "Path", "bytes"])
def test_a_path_may_be_given_in_any_form(path: Path, kind: Any) -> None:
    """Text, path object or bytes: the same file, and one lock beside it."""
    JsonLinesReporter(kind(path))(STALL)
    assert len(lines(path)) == 1
    assert sorted(each.name for each in path.parent.iterdir()) == ["events.jsonl", "events.jsonl.lock"]


def test_the_path_does_not_move_with_the_working_directory(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is what it was when the reporter was made; daemons change their directory."""
    monkeypatch.chdir(tmp_path)
    reporter = JsonLinesReporter("events.jsonl")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    reporter(STALL)
    assert len(lines(path)) == 1


# --- rotation ---


def test_a_full_file_becomes_the_first_backup(path: Path) -> None:
    """No file exceeds the limit, the newest lines are in the file itself, and the oldest file goes."""
    reporter = JsonLinesReporter(path, max_bytes=2 * LINE, backups=2)
    for number in range(9):
        reporter(event(number))
        assert all((path.parent / name).stat().st_size <= 2 * LINE for name in files(path))
    assert files(path) == ["events.jsonl", "events.jsonl.1", "events.jsonl.2"]
    assert ids(path) == ["8"]
    assert ids(Path(f"{path}.1")) == ["6", "7"]
    assert ids(Path(f"{path}.2")) == ["4", "5"]


def test_the_limit_itself_may_be_reached(path: Path) -> None:
    """A file is full when the next line would exceed the limit, not before."""
    reporter = JsonLinesReporter(path, max_bytes=3 * LINE)
    for number in range(3):
        reporter(event(number))
    assert files(path) == ["events.jsonl"]
    assert path.stat().st_size == 3 * LINE
    reporter(event(3))
    assert files(path) == ["events.jsonl", "events.jsonl.1"]


def test_without_backups_the_full_file_goes(path: Path) -> None:
    """At most the limit is on the disk."""
    reporter = JsonLinesReporter(path, max_bytes=2 * LINE, backups=0)
    for number in range(5):
        reporter(event(number))
    assert files(path) == ["events.jsonl"]
    assert ids(path) == ["4"]


def test_a_line_longer_than_the_limit_has_a_file_of_its_own(path: Path) -> None:
    """An event is never cut and never lost for its length."""
    reporter = JsonLinesReporter(path, max_bytes=1, backups=3)
    for number in range(3):
        reporter(event(number))
    assert [ids(path.parent / name) for name in files(path)] == [["2"], ["1"], ["0"]]


def test_a_file_that_was_full_before_is_rotated(path: Path) -> None:
    """Also the file that another process left."""
    path.write_bytes(b"{}\n" * LINE)
    JsonLinesReporter(path, max_bytes=2 * LINE)(STALL)
    assert len(lines(path)) == 1
    assert Path(f"{path}.1").stat().st_size == 3 * LINE


def test_a_missing_backup_is_no_trouble(path: Path) -> None:
    """Someone tidied up: rotation goes on with what is there."""
    reporter = JsonLinesReporter(path, max_bytes=1, backups=3)
    for number in range(3):
        reporter(event(number))
    Path(f"{path}.1").unlink()
    reporter(event(3))
    assert [ids(path.parent / name) for name in files(path)] == [["3"], ["2"], ["0"]]


def test_another_tool_may_rotate_or_remove_the_file(path: Path) -> None:
    """The file is opened for each line, so what was moved away stays as it was moved."""
    reporter = JsonLinesReporter(path)
    reporter(event(1))
    path.rename(path.parent / "moved")
    reporter(event(2))
    assert (ids(path.parent / "moved"), ids(path)) == (["1"], ["2"])
    path.unlink()
    reporter(event(3))
    assert ids(path) == ["3"]


# --- what cannot be ---


@pytest.mark.parametrize("value", [0, -1, 1.5, math.nan, "1000", True, None])
def test_a_wrong_limit_is_refused(path: Path, value: Any) -> None:
    """Limits are whole numbers, bytes at least 1 and backups at least 0; no file is made."""
    with pytest.raises(SettingsError) as caught:
        JsonLinesReporter(path, max_bytes=value)
    assert (caught.value.setting, caught.value.allowed) == ("max_bytes", "a whole number, at least 1")
    if value != 0:
        with pytest.raises(SettingsError) as caught:
            JsonLinesReporter(path, backups=value)
        assert (caught.value.setting, caught.value.allowed) == ("backups", "a whole number, at least 0")
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["missing/events.jsonl", "file/events.jsonl", "directory"])
def test_a_path_that_cannot_be_written_is_told_at_once(tmp_path: Path, name: str) -> None:
    """The error names the path that was asked for; the reporter is not made, and no folder or lock either."""
    (tmp_path / "file").write_text("")
    (tmp_path / "directory").mkdir()
    with pytest.raises(OSError) as caught:
        JsonLinesReporter(tmp_path / name)
    assert caught.value.filename == str(tmp_path / name)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["directory", "file"]


@needs_flock
def test_a_lock_that_cannot_be_had_is_told_of_the_path(path: Path) -> None:
    """Nobody knows of the lock: the error names the file that it is for, and says why a lock is wanted."""
    lock = path.parent / "events.jsonl.lock"
    lock.mkdir()
    with pytest.raises(IsADirectoryError, match="a lock is kept beside the file") as caught:
        JsonLinesReporter(path)
    assert caught.value.filename == str(path)
    lock.rmdir()
    reporter = JsonLinesReporter(path)
    lock.unlink()
    lock.mkdir()
    with pytest.raises(IsADirectoryError, match="its folder must be writable") as caught:
        reporter(event(1))
    assert caught.value.filename == str(path)


def test_a_write_that_fails_is_told_and_leaves_no_part_of_a_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk the error reaches the delivery, and what was written before stays whole."""
    reporter = JsonLinesReporter(path)
    reporter(event(1))
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:10]))
        with pytest.raises(OSError, match="only a part of the line"):
            reporter(event(2))
    assert ids(path) == ["1"]
    reporter(event(3))
    assert ids(path) == ["1", "3"]


def test_no_file_stays_open(path: Path) -> None:
    """Between two events nothing is held: not by the reporter, and not after an error."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("this platform does not list open files")

    def still_open() -> list[str]:
        return [str(each.resolve()) for each in descriptors.iterdir() if str(path) in os.path.realpath(each)]

    reporter = JsonLinesReporter(path, max_bytes=1, backups=1)
    for number in range(3):
        reporter(event(number))
    path.parent.joinpath("directory").mkdir()
    with pytest.raises(OSError):
        JsonLinesReporter(path.parent / "directory")
    assert still_open() == []


# --- threads and processes ---

WRITE = """
import sys
from loopwatch.model import Stall
from loopwatch.report.jsonl import JsonLinesReporter

path, name, count, max_bytes, backups = sys.argv[1:]
reporter = JsonLinesReporter(path, max_bytes=int(max_bytes), backups=int(backups))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    reporter(Stall(id=f"{name}-{number}", kind="step", duration=0.1, started_at=0.0, loop="x" * 500, thread="t"))
"""


def write_in_processes(path: Path, processes: int, count: int, max_bytes: int, backups: int) -> None:
    """Write ``count`` lines from each of several processes, all beginning at the same moment."""
    command = [sys.executable, "-c", WRITE, str(path)]
    running = [
        subprocess.Popen(
            [*command, str(name), str(count), str(max_bytes), str(backups)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in range(processes)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        assert [process.wait(60) for process in running] == [0] * processes
    finally:
        for process in running:
            process.kill()
            process.communicate()


def expected(processes: int, count: int) -> Iterator[str]:
    return (f"{name}-{number}" for name in range(processes) for number in range(count))


@needs_flock
def test_processes_that_write_the_same_file_lose_no_line(path: Path) -> None:
    """Each line of each process is in the file, whole, once, and in its process's order."""
    write_in_processes(path, processes=4, count=150, max_bytes=10_000_000, backups=0)
    found = ids(path)
    assert sorted(found) == sorted(expected(4, 150))
    for name in range(4):
        assert [each for each in found if each.startswith(f"{name}-")] == [f"{name}-{number}" for number in range(150)]


@needs_flock
def test_processes_that_rotate_the_same_file_lose_no_line(path: Path) -> None:
    """Whoever finds the file full moves it, no line of another is overwritten, and no file exceeds the limit."""
    write_in_processes(path, processes=4, count=60, max_bytes=5_000, backups=500)
    found = [path.parent / name for name in files(path)]
    assert len(found) > 20
    assert sorted(ids(*found)) == sorted(expected(4, 60))
    assert max(each.stat().st_size for each in found) <= 5_000


def test_threads_that_write_the_same_file_lose_no_line(path: Path) -> None:
    """Two reporters on one path in one process, each used by several threads."""
    reporters = [JsonLinesReporter(path, max_bytes=10 * LINE, backups=200) for _ in range(2)]

    def write(name: int) -> None:
        for number in range(40):
            reporters[name % 2](event(f"{name}-{number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(ids(*(path.parent / name for name in files(path)))) == sorted(expected(4, 40))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_fork_in_the_middle_of_a_write_harms_neither_side(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child can write when the parent is done, though its copy of the parent's open lock lives on."""
    reporter = JsonLinesReporter(path)
    write, children = os.write, []

    def fork_and_write(descriptor: int, data: bytes) -> int:
        monkeypatch.undo()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            child()
        children.append(pid)
        return write(descriptor, data)

    def child() -> None:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            JsonLinesReporter(path)(event("child"))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    monkeypatch.setattr(os, "write", fork_and_write)
    reporter(event("parent"))
    reporter(event("parent again"))
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0]
    assert sorted(ids(path)) == ["child", "parent", "parent again"]
