"""Lookups on uvloop with a slow resolver: how many libuv makes at a time, how long they wait, and who asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from loopwatch.observe.uvloops.libuv_pool import threads
from tests.resolving import build, told_by

pytest.importorskip("uvloop")
pytestmark = [
    pytest.mark.realtime,
    pytest.mark.needs(programs=("cc",)),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's"),
]

Tell = Callable[..., Any]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Tell:
    library = build(tmp_path_factory.mktemp("resolver"))
    return lambda program, **environment: told_by(library, program, **environment)


SIZES = ["", "0", "1", "3", " 6x", "+5", "many"]


def test_the_size_is_read_as_libuv_reads_it(told: Tell) -> None:
    """As many threads come as are said to, and half of them, rounded up, look up names."""
    program = """
    import os, sys
    count = lambda: len(os.listdir("/proc/self/task"))
    async def main():
        before = count()
        lookups = [asyncio.ensure_future(look_up("slow-0.4")) for _ in range(8)]
        await asyncio.wait(lookups, return_when="FIRST_COMPLETED")
        await asyncio.sleep(0.2)
        return count() - before, sum(each.done() for each in lookups)
    def told_of(size):
        reads, writes = os.pipe()
        if os.fork() == 0:
            os.environ.update({} if size is None else {"UV_THREADPOOL_SIZE": size})
            loop = uvloop.new_event_loop()
            os.write(writes, json.dumps(loop.run_until_complete(main())).encode())
            os._exit(0)
        return reads
    found = {size: told_of(size) for size in SIZES}
    tell(**{str(size): json.loads(os.read(each, 100)) for size, each in found.items()})
    """.replace("SIZES", repr([None, *SIZES]))
    made = told(program)
    assert made.pop("None") == [threads(None), (threads(None) + 1) // 2] == [4, 2]
    assert made == {text: [threads(text), (threads(text) + 1) // 2] for text in SIZES}


@pytest.mark.parametrize(("text", "most"), [("1024", 1024), ("1025", 1024), ("9" * 30, 1024), ("-3", 1024)])
def test_there_are_no_more_threads_than_libuv_makes_at_most(text: str, most: int) -> None:
    """Nobody should have so many, so this is not tried."""
    assert threads(text) == most


def test_lookups_wait_for_each_other_and_that_is_told(told: Tell) -> None:
    """Four threads make two lookups at a time: of six the last wait twice, and who asked for them is named."""
    found = told("""
    from loopwatch.report.text import render
    with install() as watch:
        uvloop.run(at_once(6, "slow-0.3"))
        executor, snapshot = libuv(watch), watch.snapshot()
    backlogs = [each for each in events.backlogs if not each.in_progress]
    tell(
        executor=executor,
        backlogs=[each.to_dict() for each in backlogs],
        text=render(backlogs[0]),
        queued=[[each.site, each.cause] for each in snapshot.sites if each.kind == "queue"],
        coverage=[str(each) for each in snapshot.coverage],
        offloads=len(events.offloads),
        verdicts=[each.verdict for each in snapshot.offloads],
    )
    """)
    executor, (backlog,) = found["executor"], found["backlogs"]
    assert (executor["name"], executor["workers"], executor["workers_max"], executor["busy"]) == ("libuv", 2, 2, 0)
    assert executor["outcomes"] == {"completed": 6}
    assert 1.7 <= executor["wait"]["sum"] <= 2.8 and executor["wait"]["counts"][0] == 2
    assert 1.5 <= executor["run"]["sum"] <= 2.6
    assert executor["saturated"] >= 0.4
    assert (backlog["executor"], backlog["workers"], backlog["jobs"], backlog["depth"]) == ("libuv", 2, 4, 4)
    assert 0.55 <= backlog["waited"] <= 1.2
    assert backlog["culprit"]["function"] == "look_up"
    assert found["text"].startswith("Libuv's pool for lookups (2 workers) had no free worker for ")
    assert (
        "Half of libuv's threads look up names, here 2 at a time" in found["text"]
        and "UV_THREADPOOL_SIZE" in found["text"]
    )
    assert [site.partition(":")[0] for site, _ in found["queued"]] == ["__main__.look_up"]
    assert (found["offloads"], found["verdicts"]) == (0, ["offload"])
    assert [each for each in found["coverage"] if each.startswith("libuv's pool for lookups: partial")]


def test_more_threads_make_more_lookups_at_a_time(told: Tell) -> None:
    """The same with room for all: nothing waits, and nothing is told."""
    found = told(
        """
        with install() as watch:
            uvloop.run(at_once(6, "slow-0.3"))
            tell(executor=libuv(watch), backlogs=len(events.backlogs))
        """,
        UV_THREADPOOL_SIZE="12",
    )
    assert found["executor"]["workers_max"] == 6 and found["executor"]["wait"]["sum"] == 0
    assert found["backlogs"] == 0


def test_all_loops_share_one_pool(told: Tell) -> None:
    """Two loops in two threads with two lookups each: two of the four wait, in one executor."""
    found = told("""
    with install() as watch:
        both = [threading.Thread(target=uvloop.run, args=(at_once(2, "slow-0.4"),)) for _ in range(2)]
        for each in both: each.start()
        time.sleep(0.2)
        meanwhile = libuv(watch)
        for each in both: each.join()
        tell(meanwhile=meanwhile, executor=libuv(watch))
    """)
    assert (found["meanwhile"]["busy"], found["meanwhile"]["depth"]) == (2, 2)
    assert 0.05 <= found["meanwhile"]["oldest_wait"] <= 0.4
    assert found["executor"]["outcomes"] == {"completed": 4}
    assert 0.2 <= found["executor"]["wait"]["sum"] <= 1.6  # 0.8, had both threads begun at once


def test_each_end_has_its_outcome(told: Tell) -> None:
    """What is given up goes on in its thread, and is over when libuv is."""
    found = told("""
    async def fails():
        try: await look_up("slow-0.1-fails")
        except OSError: pass
    async def given_up():
        try: await asyncio.wait_for(look_up("slow-0.6"), 0.1)
        except asyncio.TimeoutError: pass
    async def main():
        await asyncio.gather(look_up("slow-0.1"), fails())
        await given_up()
    tell_in_and_after(main())
    """)
    assert found["meanwhile"]["outcomes"] == {"completed": 1, "failed": 1} and found["meanwhile"]["busy"] == 1
    assert found["executor"]["outcomes"] == {"completed": 1, "failed": 1, "abandoned": 1}
    assert found["executor"]["busy"] == 0
    assert 0.75 <= found["executor"]["run"]["sum"] <= 1.2


def test_lookups_of_connections_servers_and_endpoints_are_seen(told: Tell) -> None:
    """Each with the place that asked for it; none where a numeric address needs no lookup."""
    found = told("""
    import socket
    async def serves(): return await asyncio.start_server(lambda _, writer: writer.close(), "slow-0.1", 0)
    async def connects(port): (await asyncio.open_connection("slow-0.2", port))[1].close()
    async def connects_at_once(port): (await asyncio.open_connection("127.0.0.1", port))[1].close()
    async def sends(loop):
        (await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("slow-0.3", 9)))[0].close()
    async def connects_a_socket(loop, port):
        with socket.socket() as ours:
            ours.setblocking(False)
            await loop.sock_connect(ours, ("slow-0.4", port))
    async def main():
        loop, server = asyncio.get_running_loop(), await serves()
        port = server.sockets[0].getsockname()[1]
        await connects(port)
        await connects_at_once(port)
        await sends(loop)
        await connects_a_socket(loop, port)
        await asyncio.sleep(0.05)
        server.close()
        await asyncio.sleep(0.05)
    with install() as watch:
        uvloop.run(main())
        executor = libuv(watch)
        offloads = {each.site.partition(":")[0]: [each.jobs, each.run_seconds] for each in watch.snapshot().offloads}
        tell(executor=executor, offloads=offloads)
    """)
    assert found["executor"]["outcomes"] == {"completed": 4}
    seconds = {site.rpartition(".")[2]: seconds for site, (jobs, seconds) in found["offloads"].items() if jobs == 1}
    assert list(seconds) == ["serves", "connects", "sends", "connects_a_socket"]
    for took, expected in zip(seconds.values(), (0.1, 0.2, 0.3, 0.4), strict=True):
        assert expected - 0.01 <= took <= expected + 0.3


def test_a_connection_that_is_given_up_leaves_its_lookup(told: Tell) -> None:
    """It holds its thread until libuv has done with it."""
    found = told("""
    async def main():
        try: await asyncio.wait_for(asyncio.open_connection("slow-0.6", 9), 0.1)
        except asyncio.TimeoutError: pass
    tell_in_and_after(main())
    """)
    assert (found["meanwhile"]["busy"], found["meanwhile"]["outcomes"]) == (1, {})
    assert (found["executor"]["busy"], found["executor"]["outcomes"]) == (0, {"abandoned": 1})
    assert 0.55 <= found["executor"]["run"]["sum"] <= 1.0


def test_a_loop_that_ends_gives_up_its_lookups(told: Tell) -> None:
    """Closing it waits for them; nothing is left in the pool."""
    found = told("""
    async def main():
        for _ in range(3): asyncio.ensure_future(look_up("slow-0.3"))
        await asyncio.sleep(0.05)
    with install() as watch:
        uvloop.run(main())
        tell(executor=libuv(watch))
    """)
    assert found["executor"]["outcomes"] == {"abandoned": 3}
    assert (found["executor"]["busy"], found["executor"]["depth"]) == (0, 0)


def test_who_holds_the_loop_fills_no_queue(told: Tell) -> None:
    """libuv had long found all names, and the loop could not learn of it: that is a stall, and no backlog."""
    found = told("""
    async def main():
        lookups = asyncio.ensure_future(at_once(6, "slow-0.02"))
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        time.sleep(0.6)
        await lookups
    with install() as watch:
        uvloop.run(main())
        tell(executor=libuv(watch), backlogs=len(events.backlogs), stalls=len(events.stalls),
             queued=[each.site for each in watch.snapshot().sites if each.kind == "queue"])
    """)
    assert found["executor"]["outcomes"] == {"completed": 6}
    assert (found["backlogs"], found["queued"]) == (0, []) and found["stalls"] >= 1


def test_watches_come_and_go_while_lookups_last(told: Tell) -> None:
    """They find the same, nothing of the watch is kept, and the class is as it was."""
    found = told("""
    import gc, weakref
    before = dict(vars(uvloop.Loop))
    async def main():
        early = asyncio.ensure_future(at_once(3, "slow-0.2"))
        await asyncio.sleep(0.05)
        watch = install()
        late = asyncio.ensure_future(look_up("slow-0.1"))
        await asyncio.sleep(0.05)
        hook = weakref.ref(watch._hooks.foreign_loops._lookups)
        assert hook() is not None
        loopwatch.uninstall()
        faults = list(watch._faults)
        del watch
        gc.collect()
        kept = hook() is not None
        names = await asyncio.gather(early, late)
        return faults, kept, names[1][0][4][0]
    faults, kept, name = uvloop.run(main())
    tell(faults=list(map(repr, faults)), kept=kept, name=name, same=dict(vars(uvloop.Loop)) == before)
    """)
    assert found == {"faults": [], "kept": False, "name": "127.0.0.1", "same": True}
