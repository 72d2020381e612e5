"""A process whose watch goes blind: another tool puts asyncio's function back. Prints the URL of its metrics."""

from __future__ import annotations

import asyncio
import sys
import threading

own = asyncio.events.Handle._run

import loopwatch  # noqa: E402


async def main() -> None:
    watch = loopwatch.install()
    asyncio.events.Handle._run = own  # type: ignore[method-assign]
    print(watch.serve_metrics(0).url, flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True).start()
    while not ended.is_set():
        await asyncio.sleep(0.05)


asyncio.run(main())
