"""The log excerpt at the top of the README: a shop that blocks once, and asks its bank through simulated async."""

from __future__ import annotations

import asyncio
import logging

from bankclient import Bank  # type: ignore[import-not-found]
from shop.views import checkout  # type: ignore[import-not-found]

import loopwatch
from examples.children import child

ORDERS = 12


async def serve(url: str) -> None:
    bank = Bank(url)
    tasks = [asyncio.create_task(checkout(bank, order), name=f"req-{order}") for order in range(1, ORDERS + 1)]
    await asyncio.gather(*tasks)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    with child("examples.simulated_async.upstream", "--with-parent", seconds=20.0) as (url, _):
        asyncio.run(Bank(url).balance(1))  # what is imported and prepared at first use is not what is shown
        with loopwatch.install(prometheus=False):
            asyncio.run(serve(url))
