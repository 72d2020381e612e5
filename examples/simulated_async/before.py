"""Before: an async API over ``requests`` in a small thread pool.

Every method is a coroutine function and nothing here blocks the event loop, so it looks like an
async client. But each call occupies one of three threads until the reply is there, and the fourth
caller waits in the pool's queue, where no check of the event loop sees it.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import requests

from .api import TIMEOUT, DatabaseTimeout, DatabaseUnavailable, Row, check_status


class ThreadedDatabase:
    """The database's API for async code; use it with ``async with``, from any number of tasks of one loop."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT, workers: int = 3) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        self._executor = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="database")

    async def __aenter__(self) -> ThreadedDatabase:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._executor.shutdown(wait=False)
        self._session.close()

    async def get(self, table: str, row_id: int) -> Row:
        row: Row = await self._request("GET", f"/tables/{table}/rows/{row_id}")
        return row

    async def query(self, table: str, **where: str) -> list[Row]:
        rows: list[Row] = await self._request("GET", f"/tables/{table}/rows", params=where)
        return rows

    async def create(self, table: str, values: Row) -> Row:
        row: Row = await self._request("POST", f"/tables/{table}/rows", json=values)
        return row

    async def update(self, table: str, row_id: int, values: Row) -> Row:
        row: Row = await self._request("PATCH", f"/tables/{table}/rows/{row_id}", json=values)
        return row

    async def _request(self, method: str, path: str, **content: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, partial(self._send, method, path, **content))

    def _send(self, method: str, path: str, **content: Any) -> Any:
        request = f"{method} {path}"
        try:
            response = self._session.request(method, self._url + path, timeout=self._timeout, **content)
        except requests.Timeout as error:
            raise DatabaseTimeout(f"{request}: no answer within {self._timeout:g} s") from error
        except requests.RequestException as error:
            raise DatabaseUnavailable(f"{request}: {error}") from error
        check_status(response.status_code, request)
        return response.json()
