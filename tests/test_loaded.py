"""What a watch loads: nothing that only another process would need."""

from __future__ import annotations

import pytest

from tests.programs import run

WATCHED = """
    import asyncio, sys, time
    import loopwatch
    with loopwatch.install(reporters=[], prometheus=False) as watch:
        asyncio.run(asyncio.sleep(0.01))
        watch.snapshot()
        before = needed & sys.modules.keys()
        {more}
        print(sorted(before), sorted(needed & sys.modules.keys()))
"""
UVLOOP = "needed = {'ctypes', 'loopwatch.observe.uvloops.uvloop_loop', 'loopwatch.observe.uvloops.libuv'}"


def watched(needed: str, more: str = "") -> str:
    done = run(f"    {needed}{WATCHED.format(more=more)}")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_asks_libuv_is_not_loaded_without_uvloop() -> None:
    """With ctypes, which it needs, it is half a megabyte."""
    assert watched(UVLOOP) == "[] []\n"


def test_what_asks_libuv_is_loaded_with_uvloop() -> None:
    """Once the application has imported it, before its first loop runs."""
    pytest.importorskip("uvloop")
    after = ["ctypes", "loopwatch.observe.uvloops.libuv", "loopwatch.observe.uvloops.uvloop_loop"]
    assert watched(UVLOOP, "import uvloop; uvloop.run(asyncio.sleep(0))") == f"[] {after}\n"
