"""One route of Starlette on uvloop and httptools under uvicorn, watched or not; says its URL."""

from __future__ import annotations

import argparse

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from examples.listening import listen

from .apart import begin, on_core
from .watching import watching


async def _healthy(_: Request) -> PlainTextResponse:
    return PlainTextResponse("well")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starlette_process", description=__doc__)
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--core", type=int, help="the processor to stay on")
    options = begin(parser)
    with on_core(options.core), watching(options.watched):
        _serve()


def _serve() -> None:
    application = Starlette(routes=[Route("/healthy", _healthy)])
    config = uvicorn.Config(application, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    listener = listen("127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
