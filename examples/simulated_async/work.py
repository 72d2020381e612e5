"""The application: a batch of orders that are looked up and written through the database's API."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from .api import Database


async def handle_order(database: Database, number: int) -> None:
    """One request to the database, as the number has it: mostly reading, now and then writing."""
    kind = number % 6
    if kind == 4:
        await database.query("orders", state="open")
    elif kind == 5:
        await database.update("orders", number % 1000 + 1, {"state": "sent"})
    else:
        await database.get("orders", number % 1000 + 1)


async def handle_orders(
    database: Database, count: int, concurrency: int, after_each: Callable[[], None] = lambda: None
) -> list[float]:
    """Handle ``count`` orders, ``concurrency`` at a time, and return the seconds that each one took."""
    numbers = iter(range(count))
    seconds: list[float] = []

    async def handle_next_ones() -> None:
        for number in numbers:
            started = time.perf_counter()
            await handle_order(database, number)
            seconds.append(time.perf_counter() - started)
            after_each()

    await asyncio.gather(*(handle_next_ones() for _ in range(concurrency)))
    return seconds
