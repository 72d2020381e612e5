"""What to do instead: one sentence for each finding, as concrete as the evidence allows.

The tables are the only place that knows other libraries by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..facts import RawFrame
from ..model import Cause, Verdict

_NATIVE = {
    "requests": "httpx.AsyncClient or aiohttp (instead of requests)",
    "urllib3": "httpx.AsyncClient or aiohttp (instead of urllib3)",
    "http": "httpx.AsyncClient or aiohttp (instead of http.client)",
    "urllib": "httpx.AsyncClient or aiohttp (instead of urllib.request)",
    "httpx": "httpx.AsyncClient (instead of httpx.Client)",
    "boto3": "aioboto3 (instead of boto3)",
    "botocore": "aiobotocore (instead of botocore)",
    "psycopg2": "asyncpg or psycopg's AsyncConnection (instead of psycopg2)",
    "psycopg": "psycopg's AsyncConnection (instead of its blocking Connection)",
    "pymysql": "aiomysql or asyncmy (instead of PyMySQL)",
    "MySQLdb": "aiomysql or asyncmy (instead of mysqlclient)",
    "pymongo": "PyMongo's AsyncMongoClient (instead of MongoClient)",
    "redis": "redis.asyncio (instead of the blocking redis.Redis)",
    "ldap3": "bonsai's async client (instead of ldap3)",
    "paramiko": "asyncssh (instead of paramiko)",
    "smtplib": "aiosmtplib (instead of smtplib)",
    "grpc": "grpc.aio (instead of blocking stubs)",
    "kafka": "aiokafka (instead of kafka-python)",
    "pika": "aio-pika (instead of pika's blocking connection)",
    "elasticsearch": "AsyncElasticsearch (instead of Elasticsearch)",
    "sqlite3": "aiosqlite, or one thread of your own for the connection",
}
"""Top-level package -> the client that waits without a thread."""

_BY_CALL = {
    "time.sleep": "Use `await asyncio.sleep(...)` instead of time.sleep().",
    "socket.getaddrinfo": "Resolve names with `await loop.getaddrinfo(...)`.",
    "_socket.getaddrinfo": "Resolve names with `await loop.getaddrinfo(...)`.",
    "os.sendfile": "Sending a file waits for the disk: let a server in front of this one send it, or read it with "
    "`await asyncio.to_thread(...)`.",
    "subprocess.run": "Start it with `await asyncio.create_subprocess_exec(...)` and await its end.",
}

_STAND_INS = frozenset({"aiocop.core.audit_patcher", "blockbuster.blockbuster"})
"""Modules whose functions stand in the place of blocking ones, and call these: they are no library that blocks."""

_BY_WAIT = {
    "network": "Use an async client for this connection, or hand the call over with `await asyncio.to_thread(...)`.",
    "sleep": "Do not sleep on the loop: hand the call that does over with `await asyncio.to_thread(...)`.",
    "file": "Hand the file access over with `await asyncio.to_thread(...)`.",
    "process": "Start the process with `await asyncio.create_subprocess_exec(...)` and await it.",
    "lock": "Do not wait for another thread on the loop: use asyncio's own primitives, await "
    "`asyncio.wrap_future(...)`, or take the lock inside `asyncio.to_thread(...)`.",
    "other": "Hand the blocking call over with `await asyncio.to_thread(...)`.",
}

_BY_CAUSE: dict[Cause, str] = {
    "cpu": "Move the computation into a process pool (`loop.run_in_executor(pool, ...)`), or break it up with "
    "`await asyncio.sleep(0)`.",
    "gc": "Call gc.freeze() once after start-up, and raise gc.set_threshold(), so that the collector walks less.",
    "suspended": "No code is to blame: the whole process was stopped, or its machine paused.",
    "debugger": "No code is to blame: a debugger held the process.",
    "unknown": "The evidence names no cause: look at the stack, at other threads that compute, and at the load of "
    "the host.",
}

_BY_LACK = {
    "loop": "Look at what the loop calls around steps: handlers of the logger asyncio, and timers cancelled by the "
    "hundred thousand.",
    "debug": "This code is not to blame: asyncio's debug mode notes where each handle and task was made, and reads "
    "source files for that. Switch it off where time counts (`debug=True`, PYTHONASYNCIODEBUG, `-X dev`).",
    "cpu": "This code is not to blame: the host gave its CPUs to others. Give the process more CPU, or the host less "
    "to do.",
    "interpreter": "This code is not to blame: it could not get the interpreter. If other threads compute, move that "
    "into processes; if many threads had just begun, it is over when they have.",
    "thread": "This code is not to blame: a thread that it started got no interpreter or no CPU for so long. "
    "If other threads compute, move that into processes.",
}
"""What a loop lacked whose code is not to blame."""

Holding = Literal["jobs of the pool", "lookups", "network", "application", "computing", "other"]
"""For what the workers of a full pool were held: by jobs that wait for other jobs of it, by lookups of names in
libuv's, by jobs that wait for the network or that compute, or by the application itself, without a job."""

_FORCED_COLLECTION = (
    "Leave out the call of gc.collect(), or make it where nothing waits: a collection holds up every thread."
)
_OF_A_LIBRARY = (
    "A library computes with what it was given: give it less at a time, or call it in a process pool "
    "(`loop.run_in_executor(pool, ...)`)."
)
_CROWD = "Many callbacks became ready at once: do the work in smaller batches, or limit it with a semaphore."


def stall_remedy(
    cause: Cause, evidence: Mapping[str, Any], inside: Sequence[RawFrame], crowd: bool, library: bool = False
) -> str:
    """One sentence on what to do about a stall; ``inside`` are the frames that the culprit called.

    ``crowd``: many steps of one turn held the loop together; ``library``: the culprit is none of the user's code.
    """
    lacked = str(evidence.get("waited_for"))
    if cause == "import":
        return f"Import {evidence.get('module') or 'the module'} at start-up, at the top of a module."
    if cause == "gc" and evidence.get("call") == "gc.collect":
        return _FORCED_COLLECTION
    if cause == "unknown" and lacked in _BY_LACK:
        return _BY_LACK[lacked]
    if crowd and (cause in ("cpu", "unknown") or (cause == "wait" and not evidence.get("call"))):
        return _CROWD  # smaller batches of what waits would wait as long: that is not to wait where the call is known
    if library and cause == "cpu":
        return _OF_A_LIBRARY
    if cause != "wait":
        return _BY_CAUSE[cause]
    beneath = [frame for frame in inside if frame.module not in _STAND_INS]
    stands_in = bool(inside) and not beneath
    return _wait_remedy(lacked, evidence.get("called" if stands_in else "call"), beneath)


def _wait_remedy(waited_for: str, call: str | None, inside: Sequence[RawFrame]) -> str:
    native = native_client([*(_package(frame.module) for frame in inside), _package(call or "")])
    if native and waited_for in ("network", "file", "sleep", "other"):
        return f"Use {native}, or hand the call over with `await asyncio.to_thread(...)`."
    if call in _BY_CALL and not inside:
        return _BY_CALL[call]
    called = (f"{frame.module}.{frame.code.co_name}" for frame in inside)
    return next((_BY_CALL[name] for name in called if name in _BY_CALL), None) or _BY_WAIT.get(
        waited_for, _BY_WAIT["other"]
    )


def _package(module: str) -> str:
    return module.partition(".")[0]


def native_client(packages: Iterable[str]) -> str | None:
    """The async client for the blocking library among ``packages``, the most specific first."""
    found = set(packages)
    return next((advice for name, advice in _ORDER if name in found), None)


_GENERAL = ("urllib3", "urllib", "http", "sqlite3")
# A library that stands on another one is the one to replace: boto3 before urllib3, urllib before http.
_ORDER = [(name, text) for name, text in _NATIVE.items() if name not in _GENERAL]
_ORDER += [(name, _NATIVE[name]) for name in _GENERAL]


def offload_remedy(verdict: Verdict, packages: Iterable[str], workers: int, kind: str, call: str | None) -> str:
    """One sentence on what to do about an offload; empty where nothing is wrong."""
    if verdict == "simulated async":
        native = native_client(packages)
        if native is None and (kind == "sleep" or call == "time.sleep"):
            return "Use `await asyncio.sleep(...)` instead of sleeping in a worker."
        cap = f": at most {workers} of these calls run at a time" if 0 < workers < 1 << 30 else ""
        return (
            f"Replace it by a native async client, such as {native}{cap}."
            if native
            else (f"Replace it by a client that waits without threads (a native async one){cap}.")
        )
    if verdict == "cpu offload":
        return (
            "Threads share one interpreter lock: if this computes in Python, a process pool scales and threads do not."
        )
    if verdict == "offload" and kind == "process":
        return "Start the process with `await asyncio.create_subprocess_exec(...)`: no thread need wait for it."
    if verdict == "lock offload":
        return "The jobs wait for one another: shorten what is done under the lock."
    return ""


def framework_remedy(packages: Iterable[str], workers: int, kind: str) -> str:
    """One sentence on a plain function that a framework runs in a worker; empty where it does not mostly wait."""
    if kind not in ("network", "sleep"):
        return ""
    native = native_client(packages) or "`await asyncio.sleep(...)`" if kind == "sleep" else native_client(packages)
    cap = f"At most {workers} of these calls run at a time, and they" if 0 < workers < 1 << 30 else "These calls"
    return f"{cap} mostly wait: as `async def` with {native or 'a native async client'} they would need no worker."


def backlog_remedy(holding: Holding, workers: int, packages: Iterable[str], executor: str = "") -> str:
    """One sentence on what to do about a backlog; ``workers`` is 0 where their number is not known (any more)."""
    if holding == "jobs of the pool":
        return "Give the inner jobs a pool of their own: a job must not wait for another job of its pool."
    if holding == "lookups":
        at_once = f", here {workers} at a time" if workers > 0 else ""
        return (
            f"Half of libuv's threads look up names{at_once}: keep what was found (a caching resolver), "
            "resolve without threads (aiodns), or set UV_THREADPOOL_SIZE to twice what may be looked up at a time, "
            "before the process starts."
        )
    more = f"more than {workers} {'worker' if workers == 1 else 'workers'}" if workers > 0 else "more workers"
    limit = f"the limit of {workers}" if workers > 0 else "its limit"
    more, limit = more + _by_means(executor), limit + _by_means(executor)
    if holding == "network":
        cure = native_client(packages) or "a native async client"
        return f"Its jobs wait for the network: use {cure}, which needs no worker, or raise {limit}."
    if holding == "application":
        return (
            "No job holds the workers, but code that took them itself, as `async with limiter` does: hold them for "
            f"less time, or allow {more}."
        )
    if holding == "computing":
        return (
            "Its jobs compute, and what computes in Python shares one interpreter lock, so more threads would not "
            "help: give the jobs a process pool, or make them shorter."
        )
    return f"Give the pool {more}, bound what is submitted at a time, or make the jobs shorter."


def _by_means(executor: str) -> str:
    """How the number of workers is set, as far as the name tells what it is a pool of."""
    if executor == "anyio":
        return " (`anyio.to_thread.current_default_thread_limiter().total_tokens = ...`)"
    if executor.startswith("anyio:"):
        return " (the limiter's `total_tokens`)"
    if executor == "default":
        return " (`loop.set_default_executor(ThreadPoolExecutor(max_workers=...))`)"
    return ""
