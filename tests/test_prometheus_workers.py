"""Several workers under real servers: every number of each of them is scraped, from whichever one answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from examples.listening import free_port

ROOT = Path(__file__).resolve().parent.parent
WORKERS = 3
LIMIT = 30.0

UVICORN = ("uvicorn", "tests.worker_app:app", "--workers", str(WORKERS), "--log-level", "warning", "--loop", "asyncio")
GUNICORN = ("gunicorn", "tests.worker_app:wsgi", "--preload", "--workers", str(WORKERS), "--threads", "2")

pytestmark = [pytest.mark.realtime, pytest.mark.skipif(os.name != "posix", reason="the servers' workers are POSIX")]

Scrape = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Server:
    def __init__(self, port: int) -> None:
        self._port = port

    def get(self, path: str) -> str:
        with urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=LIMIT) as response:
            text: str = response.read().decode()
        return text

    def load(self, path: str, times: int) -> list[tuple[int, float]]:
        """Which worker took each of these requests, and the seconds that it says it took for it."""
        with ThreadPoolExecutor(3 * WORKERS) as pool:
            replies = [reply.split() for reply in pool.map(self.get, [path] * times)]
        return [(int(pid), float(seconds)) for pid, seconds in replies]

    def scrape(self) -> Scrape:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.get("/metrics"))
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        wanted = set(labels.items())
        return sum(value for (each, found), value in self.scrape().items() if each == name and wanted <= found)

    def comes_to(self, expected: Callable[[], bool]) -> None:
        """The numbers of a worker are a second old at most; a worker, and this machine, may take longer to come."""
        deadline = time.monotonic() + LIMIT
        while not expected():
            assert time.monotonic() < deadline, self.get("/metrics")
            time.sleep(0.2)


@contextmanager
def serving(folder: Path, *command: str, **environment: str) -> Iterator[Server]:
    port = free_port()
    where = ("--bind", f"127.0.0.1:{port}") if command[0] == "gunicorn" else ("--port", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", *command, *where],
        cwd=ROOT,
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder), **environment},
        stdin=subprocess.DEVNULL,
    )
    server = Server(port)
    try:
        deadline = time.monotonic() + LIMIT
        while True:
            try:
                server.get("/")
                break
            except (URLError, OSError):
                assert process.poll() is None and time.monotonic() < deadline, f"{command[0]} does not answer"
                time.sleep(0.1)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def under_load(server: Server) -> set[int]:
    """Blocks and jobs until each of the workers has had some; the numbers then agree with them."""
    blocks: list[tuple[int, float]] = []
    jobs = 0
    while len({pid for pid, _ in blocks}) < WORKERS and len(blocks) < 200:
        blocks += server.load("/block", 12)
        jobs += len(server.load("/job", 12))
    assert len({pid for pid, _ in blocks}) == WORKERS
    held = sum(seconds for _, seconds in blocks)
    server.comes_to(lambda: server.total("loopwatch_stall_duration_seconds_count") >= len(blocks))
    assert server.total("loopwatch_stall_duration_seconds_sum") == pytest.approx(held, rel=0.1)
    server.comes_to(lambda: server.total("loopwatch_executor_jobs_total", outcome="completed") >= jobs)
    assert server.total("app_requests_total") >= len(blocks) + jobs
    return {pid for pid, _ in blocks}


def gone(folder: Path, pid: int) -> bool:
    return not [each for each in folder.iterdir() if f"-{pid}." in each.name and "gauge" in each.name]


def leaves_no_ghost(server: Server, folder: Path, pid: int) -> None:
    """A worker that is killed takes what it was doing with it, and leaves what it had counted."""
    counted = server.total("loopwatch_stall_duration_seconds_count")
    assert not gone(folder, pid)
    os.kill(pid, signal.SIGKILL)
    server.comes_to(lambda: gone(folder, pid))
    assert server.total("loopwatch_stall_duration_seconds_count") >= counted


@pytest.mark.needs("uvicorn")
def test_all_workers_of_uvicorn_are_in_one_scrape(tmp_path: Path) -> None:
    """Under load the sums are those of all three; the one that is killed is no ghost, and the next one is counted."""
    with serving(tmp_path, *UVICORN) as server:
        took = under_load(server)
        server.comes_to(lambda: server.total("loopwatch_tasks") >= WORKERS)
        leaves_no_ghost(server, tmp_path, next(iter(took)))
        server.comes_to(lambda: len(list(tmp_path.glob("gauge_livesum_loopwatch-*.db"))) == WORKERS)
        of_one = ThreadPoolExecutor()._max_workers
        assert server.total("loopwatch_executor_workers_max", executor="default") in (2 * of_one, 3 * of_one)
        before = server.total("loopwatch_stall_duration_seconds_count")
        server.load("/block", 12)
        server.comes_to(lambda: server.total("loopwatch_stall_duration_seconds_count") >= before + 12)


@pytest.mark.needs("uvicorn")
def test_a_worker_that_hangs_is_seen_through_the_others(tmp_path: Path) -> None:
    """Its loop does not answer, and its own thread goes on to write how long it has been held."""
    with serving(tmp_path, *UVICORN) as server, ThreadPoolExecutor(1) as pool:
        hung = pool.submit(server.get, "/hang")
        time.sleep(0.5)
        # Only those that do not hang can answer; a request to the one that does waits with it, so ask several.
        with ThreadPoolExecutor(12) as askers:
            deadline = time.monotonic() + LIMIT
            held = 0.0
            while held < 2.0 and time.monotonic() < deadline:
                asked = [askers.submit(server.total, "loopwatch_stalled_seconds") for _ in range(2)]
                time.sleep(0.5)
                held = max([held, *(each.result() for each in asked if each.done())])
            assert held >= 2.0
            _kill_all(tmp_path)
        assert hung.exception(LIMIT) is not None


def _kill_all(folder: Path) -> None:
    for lock in folder.glob("loopwatch-*.lock"):
        os.kill(int(lock.stem.partition("-")[2]), signal.SIGKILL)


@pytest.mark.needs("gunicorn")
def test_all_workers_of_gunicorn_are_in_one_scrape(tmp_path: Path) -> None:
    """Likewise where the watch was installed before the workers were forked, and so in the parent, too."""
    with serving(tmp_path, *GUNICORN, INSTALL_AT_ONCE="1") as server:
        leaves_no_ghost(server, tmp_path, next(iter(under_load(server))))


SERVING = """
import time, urllib.request
import loopwatch

with loopwatch.install(reporters=[]) as watch:
    server = watch.serve_metrics(0)
    for _ in range(100):
        with urllib.request.urlopen(server.url, timeout=20) as response:
            text = response.read().decode()
        if "loopwatch_info{" in text:
            break
        time.sleep(0.1)
print(text)
"""


def test_the_server_of_one_process_serves_all(tmp_path: Path) -> None:
    """With the directory set, ``serve_metrics`` has what every process wrote, those that are over among them."""
    for times in (1, 2):
        environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
        run = subprocess.run(
            [sys.executable, "-c", SERVING], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
        )
        assert run.returncode == 0, run.stderr
        assert run.stdout.count("loopwatch_events_dropped_total 0.0") == 1
        assert len(list(tmp_path.glob("counter_loopwatch-*.db"))) == times
