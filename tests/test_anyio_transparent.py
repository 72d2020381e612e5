"""AnyIO does what it did, and the functions of frameworks are named by the application's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest

anyio = pytest.importorskip("anyio")
from anyio import from_thread  # noqa: E402

from tests.anyio_jobs import ENTRY, IN_MODULE, OWNER, Watched, in_thread, spin  # noqa: E402
from tests.executing import SOON  # noqa: E402


def test_context_arguments_and_result_are_as_ever(watched_anyio: Watched) -> None:
    """The worker sees the caller's context and arguments, the caller the very result."""
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user")
    result = object()

    def work(*args: int) -> tuple[Any, ...]:
        seen = (user.get(), args, result, dict(contextvars.copy_context()))
        user.set("changed")
        return seen

    async def main() -> None:
        user.set("ann")
        name, args, same, context = await in_thread(work, 1, 2)
        assert (name, args) == ("ann", (1, 2))
        assert same is result
        assert user.get() == "ann"
        assert not [variable for variable in context if "loopwatch" in variable.name]

    asyncio.run(main())
    assert watched_anyio.job().outcome == "completed"


@pytest.mark.skipif(IN_MODULE, reason="AnyIO 3 takes the function's arguments in place")
def test_the_entry_takes_its_arguments_by_position_and_by_keyword(watched_anyio: Watched) -> None:
    """However the backend is called: the job is timed, and the limiter is the one that was given."""

    async def main() -> None:
        limiter = anyio.CapacityLimiter(1)
        entry = getattr(OWNER, ENTRY)
        assert await entry(len, ("ab",)) == 2
        assert await entry(len, ("ab",), True, limiter) == 2
        assert await entry(len, ("ab",), True, None) == 2
        assert await entry(len, ("ab",), limiter=limiter) == 2
        assert await entry(func=len, args=("ab",), limiter=limiter) == 2
        assert (limiter.borrowed_tokens, len(watched_anyio.executors.pools)) == (0, 2)

    asyncio.run(main())
    names = [job.pool.name == "anyio" for job in watched_anyio.jobs()]
    assert names == [True, False, True, False, False]


def test_what_is_no_function_fails_as_ever(watched_anyio: Watched) -> None:
    """A mistake of the caller stays the caller's."""

    async def main() -> None:
        with pytest.raises(TypeError, match="not callable"):
            await in_thread(42)

    asyncio.run(main())
    assert watched_anyio.jobs() == []


def test_a_limiter_that_cannot_be_followed_passes_unwatched(watched_anyio: Watched) -> None:
    """An error of ours is noted, and the application's call goes on."""

    class Bare:
        __slots__ = ()

        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *error: object) -> None: ...

    async def main() -> Any:
        return await in_thread(spin, 0.0, limiter=Bare())

    assert asyncio.run(main()) == "done"
    assert watched_anyio.jobs() == []
    assert [type(fault) for fault in watched_anyio.faults] == [TypeError]
    watched_anyio.faults.clear()


def test_coming_back_from_a_worker_works(watched_anyio: Watched) -> None:
    """``from_thread`` and blocking portals do as they do unwatched."""

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    def work() -> tuple[int, str]:
        return from_thread.run(double, 21), from_thread.run_sync(lambda: "loop")

    async def main() -> tuple[int, str]:
        result: tuple[int, str] = await in_thread(work)
        return result

    assert asyncio.run(main()) == (42, "loop")
    with from_thread.start_blocking_portal() as portal:
        assert portal.call(double, 4) == 8
        assert portal.start_task_soon(in_thread, spin, 0.0).result(SOON) == "done"
    targets = [job.lane.origin.target.rpartition(".")[2] for job in watched_anyio.jobs() if job.pool.name == "anyio"]
    assert targets == ["work", "spin"]


@pytest.mark.needs("starlette")
def test_a_route_is_named_by_its_function_and_by_the_way_to_it(watched_anyio: Watched) -> None:
    """Starlette wraps functions in partials: the target is the function inside, its own frames are kept."""
    from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

    def route(order: int, *, fast: bool) -> tuple[int, bool]:
        return order, fast

    async def endpoint() -> Any:
        return await run_in_threadpool(route, 7, fast=True)

    async def stream() -> list[int]:
        return [item async for item in iterate_in_threadpool(iter([1, 2]))]

    async def main() -> Any:
        return await endpoint(), await stream()

    assert asyncio.run(main()) == ((7, True), [1, 2])
    job, *items = watched_anyio.jobs()
    assert job.lane.origin.target.endswith(route.__qualname__)
    assert [frame.code.co_name for frame in job.lane.origin.frames] == [
        "run_sync",
        "run_in_threadpool",
        "endpoint",
        "main",
    ]
    assert [job.outcome for job in items] == ["completed", "completed", "failed"]


def test_a_context_manager_is_named_by_its_generator_and_left_alone(watched_anyio: Watched) -> None:
    """Frameworks enter and leave one in a worker: both are the application's function, and nothing is put on it."""

    @contextlib.contextmanager
    def session() -> Iterator[str]:
        yield "session"

    async def main() -> None:
        manager = session()
        before = vars(manager).keys() - {"args", "kwds", "func"}  # contextlib drops those
        assert await in_thread(manager.__enter__) == "session"
        assert vars(manager).keys() - {"args", "kwds", "func"} == before
        await in_thread(manager.__exit__, None, None, None)

    asyncio.run(main())
    jobs = watched_anyio.jobs()
    assert [job.lane.origin.target for job in jobs] == [f"{__name__}.{session.__qualname__}"] * 2


@pytest.mark.needs("fastapi", "httpx")
def test_routes_and_dependencies_of_fastapi_are_named_by_the_application(watched_anyio: Watched) -> None:
    """FastAPI puts functions of its own around routes and generators: the targets are the application's."""
    import fastapi
    import httpx

    app = fastapi.FastAPI()

    def session() -> Iterator[str]:
        yield "session"

    def user() -> str:
        return "ann"

    with_session, with_user = fastapi.Depends(session), fastapi.Depends(user)

    @app.get("/order")
    def order(session=with_session, user=with_user):
        return f"{user}: {session}"

    async def main() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return str((await client.get("/order")).json())

    assert asyncio.run(main()) == "ann: session"
    jobs = watched_anyio.jobs()
    targets = [job.lane.origin.target.rpartition(".")[2] for job in jobs]
    assert targets == ["session", "user", "order", "session"]
    assert {job.pool.name for job in jobs[:3]} == {"anyio"}
    assert jobs[3].pool.name == "anyio:fastapi.concurrency.contextmanager_in_threadpool"
