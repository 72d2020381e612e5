"""An async API that is a thread pool, end to end: who is named, with which numbers, and what is said of it."""

from __future__ import annotations

import asyncio
import importlib
import os
import pathlib
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.executing import SOON
from tests.offloading import DELAY, at_once, fetch_page, offload, slow_database, slow_website

pytestmark = [pytest.mark.realtime, pytest.mark.usefixtures("each_loop")]

MODULE = __name__


@pytest.fixture
def database() -> Iterator[tuple[str, int]]:
    with slow_database() as database:
        yield database


@pytest.fixture
def website() -> Iterator[str]:
    with slow_website() as website:
        yield website


def line(function: Callable[..., object], text: str) -> int:
    """The line on which a function's source has a text."""
    import inspect

    lines, first = inspect.getsourcelines(function)
    return first + next(number for number, each in enumerate(lines) if text in each)


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


def test_work_that_no_own_code_handed_over_is_named_by_its_target(watch, database):
    """gather(to_thread(f), ...): the task that hands the work over consists of asyncio alone. The wait is charged."""
    asyncio.run(at_once(6, lambda: asyncio.to_thread(fetch_page, database)))
    found = offload(watch)
    assert found.site == f"{fetch_page.__module__}.fetch_page:{fetch_page.__code__.co_firstlineno}"
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
