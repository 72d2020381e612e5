"""After: the same API over ``httpx.AsyncClient``.

A waiting request costs a socket and a few objects instead of a thread, and the limit is the number
of connections that one chooses.
"""

from __future__ import annotations

from typing import Any

import httpx

from .api import TIMEOUT, DatabaseTimeout, DatabaseUnavailable, Row, check_status

_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


class NativeDatabase:
    """The database's API for async code; use it with ``async with``, from any number of tasks of one loop."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._client = httpx.AsyncClient(base_url=url, timeout=timeout, limits=_LIMITS)

    async def __aenter__(self) -> NativeDatabase:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._client.aclose()

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
        request = f"{method} {path}"
        try:
            response = await self._client.request(method, path, **content)
        except httpx.TimeoutException as error:
            raise DatabaseTimeout(f"{request}: no answer within {self._timeout:g} s") from error
        except httpx.HTTPError as error:
            raise DatabaseUnavailable(f"{request}: {error}") from error
        check_status(response.status_code, request)
        return response.json()
