"""Offloads end to end: real work in real pools under a real watch, and what is said of it."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import importlib
import os
import pathlib
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

import loopwatch
from loopwatch.model import Offload
from loopwatch.testing import RecordingReporter
from loopwatch.watch import Watch

pytestmark = pytest.mark.realtime

SOON = 20.0
MODULE = __name__
DELAY = 0.05


@pytest.fixture
def watch(events: RecordingReporter) -> Iterator[Watch]:
    """A watch that tells ``events``, and is gone with the test."""
    with loopwatch.install(reporters=[events], prometheus=False) as watch:
        yield watch


def offload(watch: Watch, target: str = "") -> Offload:
    """The only offload, or the only one to a target of that name."""
    assert watch.flush(SOON)
    found = [each for each in watch.snapshot().offloads if each.target.endswith(target)]
    assert len(found) == 1, found
    return found[0]


def line(function: Callable[..., object], text: str) -> int:
    """The line on which a function's source has a text."""
    import inspect

    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, each in enumerate(lines) if text in each)


# --- a server that takes its time ---


class SlowReply(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.recv(16)
        time.sleep(DELAY)
        self.request.sendall(b"done")


class SlowPage(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        time.sleep(DELAY)
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *given: Any) -> None:
        pass


def serve(kind: Any, handler: Any) -> Iterator[tuple[str, int]]:
    with kind(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address
        server.shutdown()
        thread.join()


@pytest.fixture
def database() -> Iterator[tuple[str, int]]:
    """Replies to each connection after 50 ms."""
    yield from serve(socketserver.ThreadingTCPServer, SlowReply)


@pytest.fixture
def website() -> Iterator[str]:
    """Replies to each request after 50 ms."""
    for host, port in serve(http.server.ThreadingHTTPServer, SlowPage):
        yield f"http://{host}:{port}/"


# --- packages that are made for the test ---


Installer = Callable[..., ModuleType]


@pytest.fixture
def install(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    """Puts modules into a folder from which they can be imported, and returns the last one, imported."""
    made: list[str] = []

    def install(folder: str, **modules: str) -> ModuleType:
        for name, source in modules.items():
            path = tmp_path.joinpath(folder, *name.split("__")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.parent.joinpath("__init__.py").touch()
            path.write_text(textwrap.dedent(source))
            made.append(name.replace("__", "."))
        monkeypatch.syspath_prepend(tmp_path / folder)
        importlib.invalidate_caches()
        return importlib.import_module(made[-1])

    yield install
    for name in list(sys.modules):
        if name in made or any(each.startswith(f"{name}.") for each in made):
            del sys.modules[name]


LIBRARY = os.path.join("venv", "site-packages")

WIRE = """
    import socket

    def fetch(address):
        with socket.create_connection(address) as connection:
            connection.sendall(b"get")
            return connection.recv(16)
"""

CLIENT = """
    import asyncio
    from concurrent.futures import ThreadPoolExecutor
    from {package}.wire import fetch

    class Client:
        def __init__(self, address):
            self.address = address
            self.pool = ThreadPoolExecutor(3, thread_name_prefix="client")

        async def get(self):
            return await self._run(fetch, self.address)

        async def _run(self, function, *given):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.pool, function, *given)

        async def close(self):
            self.pool.shutdown()
"""


def client_of(install: Installer, package: str, folder: str) -> Any:
    return install(folder, **{f"{package}__wire": WIRE, f"{package}__client": CLIENT.format(package=package)})


async def show_orders(client: Any) -> bytes:
    reply: bytes = await client.get()
    return reply


async def at_once(number: int, call: Callable[[], Any]) -> list[Any]:
    return await asyncio.gather(*(call() for _ in range(number)))


def ask_ten_at_a_time(client: Any, rounds: int = 4) -> None:
    async def main() -> None:
        for _ in range(rounds):
            assert set(await at_once(10, lambda: show_orders(client))) == {b"done"}
        await client.close()

    asyncio.run(main())


# --- an async client that is a thread pool ---


def test_a_library_over_a_pool_is_named_with_its_caller(watch, events, install, database):
    """The wrapper in the library and the caller in the application, with verdict, numbers and remedy; told once."""
    module = client_of(install, "vendordb", LIBRARY)
    ask_ten_at_a_time(module.Client(database))
    found = offload(watch, "vendordb.wire.fetch")
    assert found.verdict == "simulated async" and found.cause == "wait"
    assert found.wrapper is not None and found.caller is not None
    assert found.wrapper.module == "vendordb.client" and found.wrapper.function.endswith("_run")
    assert (found.caller.module, found.caller.function) == (MODULE, "show_orders")
    assert found.caller.line == line(show_orders, "client.get()")
    assert found.site == f"{found.wrapper.site} from {found.caller.site}"
    assert (found.executor, found.workers, found.jobs) == ("client", 3, 40)
    assert 40 * DELAY * 0.95 < found.run_seconds < 40 * DELAY * 3
    assert found.wait_seconds > 0.5 and found.cpu_seconds is not None and found.cpu_seconds < 0.5
    assert found.share is not None and found.share > 0.9
    assert found.evidence["waited_for"] == "network" and found.evidence["loop_jobs"] == 40
    assert found.evidence["seen"]["network"] >= 10 and found.evidence["cpu_share"] < 0.2
    assert found.evidence["call"].endswith("recv")
    assert "native async" in found.remedy and "at most 3 " in found.remedy
    assert [each.site for each in events.offloads] == [found.site]


def test_its_seconds_are_charged_to_its_site(watch, events, install, database):
    """What the workers waited is blocking time of kind offload; the queue is told as a backlog."""
    module = client_of(install, "vendordb", LIBRARY)
    ask_ten_at_a_time(module.Client(database))
    found = offload(watch, "vendordb.wire.fetch")
    (lost,) = [entry for entry in watch.snapshot().sites if entry.kind == "offload"]
    assert lost.site == found.site
    assert lost.seconds == pytest.approx(found.run_seconds - (found.cpu_seconds or 0.0), rel=0.05)
    time.sleep(0.3)
    watch.flush(SOON)
    assert events.backlogs and events.backlogs[0].culprit is not None
    assert events.backlogs[0].culprit.module == "vendordb.client"


def test_a_wrapper_in_the_applications_own_package_is_named_as_well(watch, install, database):
    """A team's own client over a pool is no better, and both files are its own."""
    module = client_of(install, "shopdb", "application")
    ask_ten_at_a_time(module.Client(database), rounds=1)
    found = offload(watch, "shopdb.wire.fetch")
    assert found.verdict == "simulated async"
    assert found.wrapper is not None and found.wrapper.module == "shopdb.client"
    assert found.caller is not None and found.caller.function == "show_orders"


DEEP = """
    import asyncio
    from vendororm.wire import fetch

    async def layer_0(address):
        return await asyncio.to_thread(fetch, address)
""" + "".join(
    f"""
    async def layer_{number}(address):
        return await layer_{number - 1}(address)
"""
    for number in range(1, 30)
)


def test_the_caller_behind_a_deep_stack_of_a_library_is_found(watch, install, database):
    """Thirty frames of an ORM between the application and the pool; two callers of it are two sites."""
    module = install(LIBRARY, vendororm__wire=WIRE, vendororm__session=DEEP)

    async def list_orders() -> None:
        await module.layer_29(database)

    async def list_customers() -> None:
        await module.layer_29(database)

    async def main() -> None:
        await asyncio.gather(*(each() for each in (list_orders, list_customers) for _ in range(4)))

    asyncio.run(main())
    assert watch.flush(SOON)
    found = watch.snapshot().offloads
    assert sorted(each.caller.function.rpartition(".")[2] for each in found) == ["list_customers", "list_orders"]
    assert all(each.site.startswith("vendororm.session.layer_0:") and each.jobs == 4 for each in found)


def fetch_page(database: tuple[str, int]) -> bytes:
    with socket.create_connection(database) as connection:
        connection.sendall(b"get")
        return connection.recv(16)


def test_work_that_no_own_code_handed_over_is_named_by_its_target(watch, database):
    """gather(to_thread(f), ...): the task that hands the work over consists of asyncio alone. The wait is charged."""
    asyncio.run(at_once(6, lambda: asyncio.to_thread(fetch_page, database)))
    found = offload(watch)
    assert found.site == f"{MODULE}.fetch_page:{fetch_page.__code__.co_firstlineno}"
    assert (found.verdict, found.wrapper, found.caller) == ("offload", None, None)
    watch.flush()
    (charged,) = (site for site in watch.snapshot().sites if site.kind == "offload")
    assert (charged.site, charged.cause) == (found.site, "wait") and charged.seconds > 0


@pytest.mark.needs("requests")
def test_requests_in_a_pool_has_httpx_as_remedy(watch, website):
    """The evidence is the waiting socket under requests, the remedy its native counterpart."""
    import requests

    async def load() -> int:
        return (await asyncio.to_thread(requests.get, website, timeout=SOON)).status_code

    async def main() -> list[int]:
        return await at_once(8, load)

    assert set(asyncio.run(main())) == {200}
    found = offload(watch)
    assert (found.target, found.verdict) == ("requests.api.get", "simulated async")
    assert "httpx.AsyncClient" in found.remedy and "requests" in found.remedy


def test_sleeping_in_a_pool_is_simulated_async(watch, events):
    """Twenty sleeps of 100 ms need no thread; the remedy says what to use."""

    async def nap() -> None:
        await asyncio.to_thread(time.sleep, 0.1)

    asyncio.run(at_once(20, nap))
    found = offload(watch)
    assert (found.target, found.verdict, found.evidence["waited_for"]) == ("time.sleep", "simulated async", "sleep")
    assert "asyncio.sleep" in found.remedy
    assert [each.target for each in events.offloads] == ["time.sleep"]


@pytest.mark.needs("fastapi", "anyio")
def test_a_route_without_async_is_named_by_its_own_function(watch, database):
    """Only frameworks are on the stack that hands it over."""
    from fastapi import FastAPI

    def show_invoice() -> str:
        return fetch_page(database).decode()

    app = FastAPI()
    app.get("/invoice")(show_invoice)

    async def main() -> None:
        await asyncio.gather(*(request(app, "/invoice") for _ in range(6)))

    asyncio.run(main())
    found = offload(watch, show_invoice.__qualname__)
    assert found.site == f"{MODULE}.{show_invoice.__qualname__}:{show_invoice.__code__.co_firstlineno}"
    assert found.verdict == "offload" and (found.wrapper, found.caller) == (None, None)
    assert "as `async def`" in found.remedy
    assert found.executor == "anyio"


async def request(app: Any, path: str) -> None:
    """What a server does with one request."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 200


# --- the share ---


def test_the_share_is_that_of_the_callers_time(watch):
    """Tasks that spend half of their time elsewhere are explained by half, those that do nothing else by all."""

    async def half() -> None:
        for _ in range(4):
            await asyncio.to_thread(time.sleep, 0.1)
            await asyncio.sleep(0.1)

    async def whole() -> None:
        for _ in range(4):
            await asyncio.to_thread(time.sleep, 0.1)

    async def main() -> None:
        await asyncio.gather(*(each() for each in (half, whole) for _ in range(3)))

    asyncio.run(main())
    assert watch.flush(SOON)
    shares = {each.site.rpartition(".")[2].partition(":")[0]: each.share for each in watch.snapshot().offloads}
    assert shares["half"] == pytest.approx(0.5, abs=0.12)
    assert shares["whole"] == pytest.approx(1.0, abs=0.12)


# --- honest work ---


def add_up() -> int:
    total = 0
    for number in range(300_000):
        total += number * number % 7
    return total


def digest() -> str:
    return hashlib.sha256(b"x" * 8_000_000).hexdigest()


MEGABYTES = b"x" * 4_000_000


def copy_through_a_file(folder: pathlib.Path) -> int:
    path = folder / threading.current_thread().name
    with open(path, "wb") as file:
        for _ in range(8):
            file.write(MEGABYTES)
    with open(path, "rb") as file:
        size = 0
        while part := file.read(1 << 20):
            size += len(part)
    return size


LOCK = threading.Lock()


def take_turns() -> None:
    with LOCK:
        time.sleep(0.02)


def run_a_program() -> None:
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.1)"], check=True, stdin=subprocess.DEVNULL)


def read_a_programs_output() -> bytes:
    command = [sys.executable, "-c", "import time; time.sleep(0.1); print(1)"]
    return subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True).stdout


def in_a_pool(workers: int, number: int, function: Callable[..., Any], *given: Any) -> None:
    """Run it so often on so many workers, each time awaited by a task of its own."""

    async def ask() -> None:
        await asyncio.get_running_loop().run_in_executor(pool, function, *given)

    with ThreadPoolExecutor(workers) as pool:
        asyncio.run(at_once(number, ask))


def test_python_that_computes_is_a_cpu_offload(watch, events):
    """Eight workers fight for one interpreter: each shows little CPU time, and none waits for anything else."""
    in_a_pool(8, 160, add_up)  # so many threads leave the sampler few looks
    found = offload(watch)
    assert found.verdict == "cpu offload" and "process pool" in found.remedy
    assert found.evidence["cpu_share"] < 0.5
    assert events.offloads == []


def test_c_code_that_computes_is_a_cpu_offload(watch, events):
    """Hashing lets the interpreter go, and the workers share the CPUs."""
    in_a_pool(4, 40, digest)
    assert offload(watch).verdict == "cpu offload"
    assert events.offloads == []


def test_a_c_function_that_computes_is_a_cpu_offload(watch):
    """The target itself is C: no frame of it is ever seen."""
    in_a_pool(2, 40, hashlib.sha256, MEGABYTES * 2)
    assert offload(watch).verdict == "cpu offload"


def test_reading_and_writing_files_is_a_file_offload(watch, events, tmp_path):
    """Many megabytes through files, most of it in memory: no async client would do better."""
    in_a_pool(3, 15, copy_through_a_file, tmp_path)
    found = offload(watch)
    assert (found.verdict, found.evidence["waited_for"]) == ("file I/O offload", "file")
    assert events.offloads == []


def test_a_method_of_a_path_is_a_file_offload(watch, tmp_path):
    """Known by its name, however quick it is."""
    in_a_pool(2, 10, tmp_path.joinpath("file").write_bytes, MEGABYTES)
    found = offload(watch)
    assert found.verdict == "file I/O offload" and found.target.endswith("write_bytes")


def test_jobs_that_wait_for_each_other_are_a_lock_offload(watch, events):
    """One lock in four workers; the one that has it is seen at something else."""
    in_a_pool(4, 20, take_turns)
    found = offload(watch)
    assert (found.verdict, found.evidence["waited_for"]) == ("lock offload", "lock")
    assert events.offloads == []


@pytest.mark.parametrize("function", [run_a_program, read_a_programs_output])
def test_waiting_for_another_process_is_not_accused(watch, events, function):
    """Whether it is waited for, or what it prints."""
    in_a_pool(2, 6, function)
    found = offload(watch)
    assert (found.verdict, found.evidence["waited_for"]) == ("offload", "process")
    assert events.offloads == []


def test_work_that_no_loop_waits_for_is_not_accused(watch, events, database):
    """A program of threads that fetches in a pool does what pools are for."""
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(fetch_page, [database] * 20)) == {b"done"}
    found = offload(watch)
    assert found.verdict == "offload" and found.evidence["loop_jobs"] == 0
    assert events.events == []


def test_many_short_jobs_keep_an_estimate_of_their_cpu_time(watch):
    """Once they are known to be short the clock is not read around each; what is known stands for all."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(6):
            await asyncio.gather(*(loop.run_in_executor(pool, abs, 1) for _ in range(100)))
            await asyncio.sleep(0.05)

    with ThreadPoolExecutor(1) as pool:
        asyncio.run(main())
        found = offload(watch)
        (lane,) = next(iter(watch._executors.pools)).lanes.values()
    assert lane.quick and found.jobs == 600
    assert found.cpu_seconds is not None and 0 < found.cpu_seconds <= found.run_seconds


def test_names_looked_up_by_the_loop_are_not_accused(watch, events):
    """A native client has no other way."""

    async def connect() -> None:
        await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    asyncio.run(at_once(20, connect))
    assert offload(watch).verdict == "offload"
    assert events.offloads == []


def test_little_evidence_decides_nothing(watch, events):
    """One job on a free pool: no verdict, and no event at all."""

    async def nap() -> None:
        await asyncio.to_thread(time.sleep, 0.5)

    asyncio.run(nap())
    found = offload(watch)
    assert (found.verdict, found.jobs, found.remedy) == ("undecided", 1, "")
    time.sleep(0.3)
    assert watch.flush(SOON) and events.events == []


def test_a_few_calls_are_judged_but_not_told(watch, events):
    """The snapshot has the verdict; an event is worth a second of waiting."""

    async def nap() -> None:
        await asyncio.to_thread(time.sleep, 0.05)

    asyncio.run(at_once(5, nap))
    assert offload(watch).verdict == "simulated async"
    assert events.offloads == []
