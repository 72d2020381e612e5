"""The database: a table store behind HTTP that takes its time, in a process of its own.

``python -m examples.simulated_async.upstream --port 0 --delay 0.15`` prints its URL and serves on
loopback until it is ended.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..children import leave_with_parent
from ..listening import listen_on_loopback

_ROWS = 1000
"""Rows that every table is taken to have; others do not exist."""


def application(delay: float) -> Starlette:
    """The store, whose every reply takes ``delay`` seconds and no CPU to speak of."""

    def slow(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            await request.body()
            await asyncio.sleep(delay)
            return await answer(request)

        return endpoint

    return Starlette(
        routes=[
            Route("/tables/{table}/rows", slow(_rows), methods=["GET"]),
            Route("/tables/{table}/rows", slow(_create), methods=["POST"]),
            Route("/tables/{table}/rows/{row_id:int}", slow(_row), methods=["GET", "PATCH"]),
        ]
    )


async def _rows(request: Request) -> Response:
    where = dict(request.query_params)
    return JSONResponse([{"id": number, "table": request.path_params["table"], **where} for number in range(1, 6)])


async def _create(request: Request) -> Response:
    row = {**await request.json(), "id": _ROWS, "table": request.path_params["table"]}
    return JSONResponse(row, status_code=201)


async def _row(request: Request) -> Response:
    row_id = request.path_params["row_id"]
    if not 0 < row_id <= _ROWS:
        return JSONResponse({"detail": "no such row"}, status_code=404)
    values = {"name": f"row {row_id}"}
    if request.method == "PATCH":
        values = await request.json()
        if not values:
            return JSONResponse({"detail": "nothing to change"}, status_code=422)
    return JSONResponse({**values, "id": row_id, "table": request.path_params["table"]})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.simulated_async.upstream", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay", type=float, default=0.15, help="seconds a reply takes")
    parser.add_argument("--with-parent", action="store_true", help="end when the standard input ends")
    options = parser.parse_args()
    config = uvicorn.Config(
        application(options.delay),
        loop="asyncio",
        lifespan="off",
        access_log=False,
        log_level="warning",
        timeout_keep_alive=60,
    )
    listener = listen_on_loopback(options.port)
    if options.with_parent:
        leave_with_parent()
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
