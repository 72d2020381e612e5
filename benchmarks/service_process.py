"""The example service, as it is (``--watched``) or with a lifespan that installs nothing; says its URL."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from .apart import serving

_NOBODY = "http://127.0.0.1:9"


@asynccontextmanager
async def _unwatched(service: FastAPI) -> AsyncIterator[None]:
    yield


def main() -> None:
    with serving("benchmarks.service_process", __doc__) as watched:
        _serve(watched)


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
