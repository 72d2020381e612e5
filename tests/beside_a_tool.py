"""A program that loopwatch and another tool watch at once: ``python -m tests.beside_a_tool TOOL``, which prints JSON.

In each scene one of them comes first, both hear of the same work, one goes, the other hears of it once more and
goes as well. Each tool is set up as its own documentation says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager
from typing import Any

import loopwatch

THRESHOLD = 0.05
HOLD = 0.12


async def hold() -> None:
    time.sleep(HOLD)


async def wait_in_c() -> None:
    """What none of the functions that may be refused has to do with."""
    try:
        queue.SimpleQueue[None]().get(timeout=HOLD)
    except queue.Empty:
        return


class Other:
    """The other tool; ``told`` is what it said."""

    leaves = True
    """Whether it can be switched off."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def come(self) -> None: ...

    async def go(self) -> None: ...

    async def work(self) -> None:
        """In a task of its own, which is called after all that was put in place."""
        await asyncio.create_task(hold())


class Debug(Other, logging.Handler):
    def __init__(self) -> None:
        logging.Handler.__init__(self)
        Other.__init__(self)
        logging.getLogger("asyncio").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if "hold()" in record.getMessage():
            self.told.append(record.getMessage())

    async def come(self) -> None:
        asyncio.get_running_loop().slow_callback_duration = THRESHOLD
        asyncio.get_running_loop().set_debug(True)

    async def go(self) -> None:
        asyncio.get_running_loop().set_debug(False)


class Aiodebug(Other):
    leaves = False

    async def come(self) -> None:
        import aiodebug.log_slow_callbacks

        def tell(name: str, seconds: float) -> None:
            if "hold()" in name:
                self.told.append(name)

        aiodebug.log_slow_callbacks.enable(THRESHOLD, on_slow_callback=tell)


class Blockbuster(Other):
    def __init__(self) -> None:
        super().__init__()
        from blockbuster import BlockBuster

        self._blockbuster = BlockBuster()
        for function in self._blockbuster.functions.values():
            function.can_block_in("loopwatch/watch.py", {"install", "uninstall", "flush"})

    async def come(self) -> None:
        self._blockbuster.activate()

    async def go(self) -> None:
        self._blockbuster.deactivate()

    async def work(self) -> None:
        from blockbuster import BlockingError

        await asyncio.create_task(wait_in_c())
        try:
            await super().work()
        except BlockingError as error:
            self.told.append(str(error))


class Aiocop(Other):
    def __init__(self) -> None:
        super().__init__()
        import aiocop

        aiocop.patch_audit_functions()
        aiocop.start_blocking_io_detection(trace_depth=20)
        aiocop.detect_slow_tasks(threshold_ms=int(THRESHOLD * 1000), on_slow_task=self._tell)

    def _tell(self, event: Any) -> None:
        if any(call["entry_point"].endswith(":hold") for call in event.blocking_events):
            self.told.append(event.reason)

    async def come(self) -> None:
        import aiocop

        aiocop.activate()

    async def go(self) -> None:
        import aiocop

        aiocop.deactivate()


class Pyleak(Other):
    def __init__(self) -> None:
        super().__init__()
        self._watch: AbstractAsyncContextManager[object] | None = None

    async def come(self) -> None:
        from pyleak import no_event_loop_blocking
        from pyleak.base import LeakAction

        self._watch = no_event_loop_blocking(LeakAction.RAISE, threshold=THRESHOLD, check_interval=0.01)
        await self._watch.__aenter__()

    async def work(self) -> None:
        """pyleak tells when it goes; so it goes, and comes again."""
        watch = self._watch
        await asyncio.sleep(0.03)  # its thread has begun to look
        await super().work()
        await asyncio.sleep(0.03)
        if watch is not None:
            await self.go()
            await self.come()

    async def go(self) -> None:
        from pyleak import EventLoopBlockError

        if self._watch is None:
            return
        watch, self._watch = self._watch, None
        try:
            await watch.__aexit__(None, None, None)
        except EventLoopBlockError as error:
            self.told += [str(block) for block in error.blocking_events if "in hold" in str(block)]


TOOLS: dict[str, Callable[[], Other]] = {
    "asyncio": Debug,
    "aiodebug": Aiodebug,
    "blockbuster": Blockbuster,
    "aiocop": Aiocop,
    "pyleak": Pyleak,
}


class Ours:
    """loopwatch; ``told`` is what it said of the work alone, not of what another tool does to the loop."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self._watch: loopwatch.Watch | None = None

    def _tell(self, event: Any) -> None:
        if event.event == "stall" and event.culprit is not None and event.culprit.function in ("hold", "wait_in_c"):
            self.told.append({"function": event.culprit.function, "cause": event.cause, "remedy": event.remedy})

    async def come(self) -> None:
        self._watch = loopwatch.install(threshold=THRESHOLD, reporters=[self._tell], prometheus=False)

    async def go(self) -> None:
        loopwatch.uninstall()
        self._watch = None

    def hear(self) -> None:
        if self._watch is not None:
            self._watch.flush()


def in_place() -> list[object]:
    """What either of them puts its own in place of."""
    patched: list[object] = [asyncio.Handle._run, asyncio.BaseEventLoop.run_forever, ThreadPoolExecutor.submit]
    return [*patched, time.sleep, os.stat, os.path.abspath]


async def scene(first: str, gone: str, ours: Ours, other: Other) -> dict[str, Any]:
    """What both told while both were there, what both told when one was gone, and whether all is as it was."""
    before = in_place()
    both: dict[str, Ours | Other] = {"ours": ours, "theirs": other}
    for who in sorted(both, key=lambda name: name != first):
        await both[who].come()
    together = await told_of_work(ours, other)
    await both[gone].go()
    alone = await told_of_work(ours, other)
    for who in both:
        if who != gone:
            await both[who].go()
    return {"first": first, "gone": gone, "together": together, "alone": alone, "as_it_was": in_place() == before}


async def told_of_work(ours: Ours, other: Other) -> dict[str, list[Any]]:
    ours.told.clear()
    other.told.clear()
    await other.work()
    await asyncio.sleep(0)
    ours.hear()
    return {"ours": list(ours.told), "theirs": list(other.told)}


async def all_scenes(tool: str) -> list[dict[str, Any]]:
    ours, other = Ours(), TOOLS[tool]()
    goes = ("ours", "theirs") if other.leaves else ("ours",)
    return [await scene(first, gone, ours, other) for first in ("ours", "theirs") for gone in goes]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(all_scenes(sys.argv[1]))))
