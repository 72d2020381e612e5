"""One route of Starlette on uvloop and httptools under uvicorn, watched or not; says its URL."""

from __future__ import annotations

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from examples.listening import listen

from .apart import serving
from .watching import watching


async def _healthy(_: Request) -> PlainTextResponse:
    return PlainTextResponse("well")


def main() -> None:
    with serving("benchmarks.starlette_process", __doc__) as watched, watching(watched):
        _serve()


def _serve() -> None:
    application = Starlette(routes=[Route("/healthy", _healthy)])
    config = uvicorn.Config(application, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    listener = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
