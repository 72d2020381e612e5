"""What to do instead: one sentence, as concrete as the evidence allows."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from loopwatch.explain.remedy import Holding, backlog_remedy, native_client, stall_remedy
from loopwatch.facts import RawFrame
from loopwatch.model import Cause

CODE = (lambda: None).__code__


def frames(*modules: str) -> list[RawFrame]:
    return [RawFrame(CODE, 0, module) for module in modules]


def wait(waited_for: str, call: str | None = None, *modules: str) -> str:
    evidence = {"waited_for": waited_for, **({"call": call} if call else {})}
    return stall_remedy("wait", evidence, frames(*modules), False)


@pytest.mark.parametrize("cause", get_args(Cause))
@pytest.mark.parametrize("crowd", [False, True])
def test_every_cause_has_a_remedy(cause: Any, crowd: bool) -> None:
    """One sentence, or two short ones, that end as such; also where the evidence says nothing more."""
    text = stall_remedy(cause, {}, [], crowd)
    assert text.endswith(".") and text[0].isupper()
    assert len(text) < 200


@pytest.mark.parametrize("waited_for", ["network", "sleep", "file", "process", "lock", "other"])
def test_every_wait_has_a_remedy_of_its_own(waited_for: str) -> None:
    """What is waited for decides what to do."""
    others = {wait(each) for each in ("network", "sleep", "file", "process", "lock", "other") if each != waited_for}
    assert wait(waited_for) not in others


def test_an_own_sleep_is_to_be_awaited() -> None:
    """One that a library calls cannot be changed by its caller, who hands the call over."""
    assert "await asyncio.sleep" in wait("sleep", "time.sleep")
    assert "to_thread" in wait("sleep", "time.sleep", "library")


@pytest.mark.parametrize("module", ["aiocop.core.audit_patcher", "blockbuster.blockbuster"])
def test_a_tool_that_looks_at_calls_is_no_library_that_blocks(module: str) -> None:
    """Its function stands in the place of the one that was called, and changes nothing of what to do."""
    evidence = {"waited_for": "sleep", "call": "original", "called": "time.sleep"}
    assert stall_remedy("wait", evidence, frames(module), False) == wait("sleep", "time.sleep")
    assert stall_remedy("wait", evidence, frames("library", module), False) == wait("sleep", "original", "library")
    assert wait("network", None, "requests.sessions", module) == wait("network", None, "requests.sessions")


@pytest.mark.parametrize(
    ("modules", "client"),
    [
        (("requests.sessions", "urllib3.connection", "http.client", "socket"), "httpx.AsyncClient"),
        (("boto3.resources", "botocore.client", "urllib3.connection", "http.client"), "aioboto3"),
        (("psycopg2",), "asyncpg"),
        (("redis.client", "redis.connection", "socket"), "redis.asyncio"),
        (("urllib.request", "http.client", "socket"), "instead of urllib.request"),
        (("http.client", "socket"), "instead of http.client"),
    ],
)
def test_a_blocking_client_is_to_be_replaced_by_its_async_one(modules: tuple[str, ...], client: str) -> None:
    """The library that stands on others is the one to replace."""
    assert client in wait("network", "self.sock.recv", *modules)


def test_a_client_written_in_c_is_known_by_the_call() -> None:
    """It has no frame of its own."""
    assert "aiosqlite" in wait("sleep", "sqlite3.connect")


def test_a_client_is_of_no_matter_for_a_lock() -> None:
    """No other client would help against a wait for a thread."""
    assert "another thread" in wait("lock", "lock.acquire", "requests.sessions")


def test_a_process_is_to_be_started_by_asyncio() -> None:
    """Also where the wait was seen in the reading of its output."""
    run = compile("def run(): pass", "/usr/lib/python3/subprocess.py", "exec").co_consts[0]
    evidence = {"waited_for": "network", "call": "selector.select"}
    text = stall_remedy("wait", evidence, [RawFrame(run, 0, "subprocess")], False)
    assert "create_subprocess_exec" in text


def test_an_import_is_named() -> None:
    """The module that was imported, where it is known."""
    assert "Import pandas at start-up" in stall_remedy("import", {"module": "pandas"}, [], False)
    assert "Import the module at start-up" in stall_remedy("import", {}, [], False)


def test_a_forced_collection_has_another_remedy_than_one_that_came_by_itself() -> None:
    """The one is a call to leave out, the other the price of many objects."""
    assert "gc.collect()" in stall_remedy("gc", {"call": "gc.collect"}, [], False)
    assert "gc.freeze()" in stall_remedy("gc", {}, [], False)


@pytest.mark.parametrize(
    ("lacked", "word"),
    [("cpu", "host"), ("interpreter", "threads"), ("thread", "a thread that it started"), ("debug", "debug mode")],
)
@pytest.mark.parametrize("crowd", [False, True])
def test_code_that_is_not_to_blame_is_told_so(lacked: str, word: str, crowd: bool) -> None:
    """A thread that got no CPU, or not the interpreter, did nothing wrong."""
    text = stall_remedy("unknown", {"waited_for": lacked}, [], crowd)
    assert text.startswith("This code is not to blame: ") and word in text
    assert "what they compute" not in text  # that anyone computes is not known


def test_no_client_is_known_for_other_packages() -> None:
    """Then the general remedy stands."""
    assert native_client(["shop", "numpy"]) is None
    assert "async client for this connection" in wait("network", "sock.recv", "shop.net")


@pytest.mark.parametrize("holding", get_args(Holding))
def test_every_hold_on_a_pool_has_a_remedy_of_its_own(holding: Holding) -> None:
    """A sentence or two that end as such."""
    text = backlog_remedy(holding, 6, ["shop"])
    assert text.endswith(".") and text[0].isupper()
    assert text not in {backlog_remedy(other, 6, ["shop"]) for other in get_args(Holding) if other != holding}


def test_more_workers_are_no_remedy_where_they_compute() -> None:
    """Nor where one job waits for another of the same pool."""
    assert "more than 6 workers" in backlog_remedy("other", 6, ())
    assert "more than 1 worker," in backlog_remedy("other", 1, ())
    assert "would not help" in backlog_remedy("computing", 6, ())
    assert "more than" not in backlog_remedy("jobs of the pool", 6, ())


def test_many_short_sleeps_are_to_be_awaited_as_a_long_one_is() -> None:
    """Smaller batches of them would take as long. Only where no call is known does the batch remain."""
    slept = {"waited_for": "sleep", "call": "time.sleep"}
    assert stall_remedy("wait", slept, [], True) == stall_remedy("wait", slept, [], False)
    assert "smaller batches" in stall_remedy("wait", {"waited_for": "sleep"}, [], True)


def test_a_file_that_is_sent_is_no_connection_to_a_client() -> None:
    """The socket does not block: the disk does."""
    assert "disk" in wait("network", "os.sendfile")


@pytest.mark.parametrize("holding", get_args(Holding))
def test_no_remedy_counts_workers_that_are_not_known(holding: Holding) -> None:
    """A pool may be gone when its backlog is told: "more than 0" would say nothing."""
    assert not any(character.isdigit() for character in backlog_remedy(holding, 0, ()))
    assert "more workers" in backlog_remedy("other", 0, ())


@pytest.mark.parametrize(
    ("executor", "means"),
    [
        ("anyio", "current_default_thread_limiter().total_tokens"),
        ("anyio:shop.views.get", "the limiter's `total_tokens`"),
        ("default", "loop.set_default_executor("),
    ],
)
@pytest.mark.parametrize("holding", ["other", "network"])
def test_how_to_get_more_workers_is_said_where_the_pool_is_known(executor: str, means: str, holding: Any) -> None:
    """The user made none of these, and so does not know where their number stands."""
    text = backlog_remedy(holding, 40, (), executor)
    assert "40" in text and means in text
    assert "(" not in backlog_remedy("other", 40, (), "database")
