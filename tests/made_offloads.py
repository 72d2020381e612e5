"""Made-up jobs of a wrapper in a library, and what was seen of them."""

from __future__ import annotations

import dis
from types import CodeType
from typing import Any

from loopwatch.explain.culprit import OwnCode, Places
from loopwatch.facts import Glance, OffloadTally, Origin, RawFrame

LIBRARY = "/venv/lib/site-packages/"
STDLIB = "/usr/lib/python/"
OURS = "/opt/loopwatch/"
APPLICATION = "/srv/"


def made_own() -> OwnCode:
    """What is the application's own where these jobs are made."""
    return OwnCode(places=Places((STDLIB[:-1],), (LIBRARY[:-1],), (OURS[:-1],)))


def frame(name: str, root: str = APPLICATION, call: str = "work") -> RawFrame:
    """The frame of ``package.module.function``, at its call of ``call``."""
    module, _, function = name.rpartition(".")
    return at_call(
        f"def {function}(self, sock, lock):\n    {call}(1)\n", f"{root}{module.replace('.', '/')}.py", module
    )


def at_call(source: str, file: str, module: str) -> RawFrame:
    """The frame of the only function of a source, at its last call."""
    (code,) = (each for each in compile(source, file, "exec").co_consts if isinstance(each, CodeType))
    calls = [step.offset for step in dis.get_instructions(code) if step.opname.startswith("CALL")]
    return RawFrame(code, calls[-1], module)


CARRIERS = (
    frame("asyncio.base_events.run_in_executor", STDLIB),
    frame("asyncio.threads.to_thread", STDLIB),
)
WRAPPER = frame("vendor.client.get", LIBRARY)
CALLER = frame("shop.views.order")


def origin(*frames: RawFrame, target: str = "requests.api.get") -> Origin:
    return Origin(frames, target, "pool")


def glance(activity: str, at: RawFrame | None = None, *packages: str) -> Glance:
    at = at or frame("vendor.wire.read", LIBRARY, "sock.recv")
    return Glance(activity, at, packages or ("threading", at.module.partition(".")[0]))  # type: ignore[arg-type]


def tally(*glances: Glance, of: Origin | None = None, **numbers: Any) -> OffloadTally:
    """Twenty jobs of 0.1 s, on behalf of a loop, each glance seen ten times."""
    given: dict[str, Any] = {
        "jobs": 20,
        "wait": 1.0,
        "run": 2.0,
        "cpu": 0.01,
        "cpu_known": 2.0,
        "workers": 3,
        "loop_jobs": 20,
    }
    given.update(numbers)
    given.setdefault("glances", dict.fromkeys(glances, 10))
    return OffloadTally(origin=of or origin(*CARRIERS, WRAPPER, CALLER), **given)
