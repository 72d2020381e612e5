"""What both clients share: the database's API, its rows, and its errors.

    DatabaseError
    ├── RowNotFound            no such row
    ├── RequestRejected        the database refused the request
    ├── DatabaseUnavailable    no connection, or the database failed
    └── DatabaseTimeout        no answer in time

Each client maps the errors of its own library to these.
"""

from __future__ import annotations

from typing import Any, Protocol

TIMEOUT = 30.0
"""Seconds after which either client gives up on one request."""

Row = dict[str, Any]


class DatabaseError(Exception):
    """The root of the tree; its message names the request."""


class RowNotFound(DatabaseError):
    """Raised when the row that was asked for does not exist."""


class RequestRejected(DatabaseError):
    """Raised when the database says that the request itself is wrong."""


class DatabaseUnavailable(DatabaseError):
    """Raised when the database cannot be reached, or answers that it failed."""


class DatabaseTimeout(DatabaseError):
    """Raised when the database does not answer in time."""


class Database(Protocol):
    """A table store behind HTTP. Every call raises a :class:`DatabaseError` when it fails."""

    async def get(self, table: str, row_id: int) -> Row: ...

    async def query(self, table: str, **where: str) -> list[Row]: ...

    async def create(self, table: str, values: Row) -> Row: ...

    async def update(self, table: str, row_id: int, values: Row) -> Row: ...

    async def __aenter__(self) -> Database: ...

    async def __aexit__(self, *exception: object) -> None: ...


def check_status(status: int, request: str) -> None:
    """Raise the error that an HTTP ``status`` stands for; ``request`` names it in the message."""
    if status < 400:
        return
    if status == 404:
        raise RowNotFound(f"{request}: no such row")
    if status < 500:
        raise RequestRejected(f"{request}: rejected with status {status}")
    raise DatabaseUnavailable(f"{request}: the database failed with status {status}")
