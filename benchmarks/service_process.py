"""The example service, as it is (``--watched``) or with a lifespan that installs nothing; says its URL."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .apart import begin, on_core

_NOBODY = "http://127.0.0.1:9"


@asynccontextmanager
async def _unwatched(service: FastAPI) -> AsyncIterator[None]:
    yield


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service_process", description=__doc__)
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--core", type=int, help="the processor to stay on")
    options = begin(parser)
    with on_core(options.core):
        _serve(options.watched)


def _serve(watched: bool) -> None:
    from examples import fastapi_service  # no sooner than the stopwatch is chosen

    # The healthy route never asks the upstream; the client only wants to know where it would be.
    os.environ[fastapi_service.UPSTREAM_URL] = _NOBODY
    logging.getLogger("loopwatch").setLevel(logging.CRITICAL)  # a busy machine makes stalls, not asked for here
    if not watched:
        fastapi_service.app.router.lifespan_context = _unwatched
    fastapi_service.serve(0)


if __name__ == "__main__":
    main()
