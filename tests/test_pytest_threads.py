"""Servers in threads of their own, pools, and applications that have a watch of their own; real runs of pytest."""

from __future__ import annotations

import pytest

from tests.made_runs import run

pytest_plugins = ["pytester"]

SERVER = """
@pytest.fixture(scope="module")
def server():
    ready = threading.Event()
    def serve():
        global loop
        loop = asyncio.new_event_loop()
        loop.call_soon(ready.set)
        loop.run_forever()
        loop.close()
    thread = threading.Thread(target=serve, name="server")
    thread.start()
    ready.wait()
    yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
"""


def test_a_server_in_a_thread_that_a_fixture_started(pytester: pytest.Pytester) -> None:
    """What its loop does counts for the test in which it began, also where the test does not wait for its end."""
    done = run(
        pytester,
        "--loopwatch",
        tests=SERVER
        + """
def test_blocks(server):
    server(app.checkout()).result()

def test_clean(server):
    server(app.fine()).result()

async def long():
    time.sleep(0.4)

def test_blocks_beyond_its_end(server):
    server(long())
    time.sleep(0.1)

def test_clean_meanwhile(server):
    server(app.fine()).result()

def test_blocks_from_its_last_moment(server):
    begun = threading.Event()
    async def last():
        begun.set()
        time.sleep(0.2)
    server(last())
    begun.wait()

def test_clean_at_last(server):
    server(app.fine()).result()
""",
    )
    assert {name for name in done.verdicts() if "blocks" in name} == {
        name for name, verdict in done.verdicts().items() if verdict == "blocked"
    }, done.verdicts()
    done.result.assert_outcomes(passed=3, failed=3)
    assert done.sites("test_blocks_beyond_its_end") == ["test_it.long"]
    (event,) = done.entry("test_blocks_beyond_its_end")["blocked"]
    assert event["loop"] == "server" and event["in_progress"]
    assert done.outside() == set()


def test_full_pools_and_simulated_async(pytester: pytest.Pytester) -> None:
    """A job that waits for a worker fails the test; so does an async API over a pool, unless it is allowed."""
    done = run(
        pytester,
        client="""
import asyncio, socket
from concurrent.futures import ThreadPoolExecutor

class Client:
    def __init__(self, workers):
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="client")

    async def get(self):
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._get)

    def _get(self):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.settimeout(0.1)
            try:
                ours.recv(1)
            except TimeoutError:
                pass
""",
        tests="""
from client import Client

async def calls(client, number):
    await asyncio.gather(*(client.get() for _ in range(number)))

@pytest.mark.no_blocking(simulated_async=False)
def test_queue():
    asyncio.run(calls(Client(1), 3))

@pytest.mark.no_blocking
def test_disguise():
    asyncio.run(calls(Client(4), 4))

@pytest.mark.no_blocking(simulated_async=False)
def test_disguise_is_let_be():
    asyncio.run(calls(Client(4), 4))

@pytest.mark.no_blocking
@pytest.mark.allow_blocking(site="client.Client.get", reason="there is no native client")
def test_disguise_is_allowed():
    asyncio.run(calls(Client(4), 4))

@pytest.mark.no_blocking(executor_wait=2, simulated_async=False)
def test_patient():
    asyncio.run(calls(Client(1), 3))
""",
    )
    assert done.verdicts() == {
        "test_queue": "blocked",
        "test_disguise": "blocked",
        "test_disguise_is_let_be": "clean",
        "test_disguise_is_allowed": "clean",
        "test_patient": "clean",
    }, done.text
    kinds = {name: {event["event"] for event in done.entry(name)["blocked"]} for name in done.verdicts()}
    assert kinds["test_queue"] == {"backlog"}
    assert kinds["test_disguise"] == {"offload"}
    assert "is simulated async" in done.text


def test_an_application_with_a_watch_of_its_own(pytester: pytest.Pytester) -> None:
    """It gets the watch that it asks for, with its settings and reporters, and the test its verdict all the same."""
    done = run(
        pytester,
        "--loopwatch",
        tests="""
import loopwatch

async def lifespan(work, **settings):
    events = []
    assert loopwatch.current() is None
    with loopwatch.install(reporters=[events.append], prometheus=False, **settings) as watch:
        assert loopwatch.current() is watch
        await work()
        await asyncio.sleep(0.01)
    assert loopwatch.current() is None
    return events

def test_blocks():
    events = asyncio.run(lifespan(app.checkout))
    assert [event.culprit.function for event in events] == ["checkout"]

def test_clean():
    assert asyncio.run(lifespan(app.fine)) == []

def test_blocks_before_and_after():
    async def main():
        await app.checkout()
        await lifespan(app.fine)
        await app.checkout()
    asyncio.run(main())

def test_unmeasured_where_the_application_looks_less_closely():
    asyncio.run(lifespan(app.fine, threshold=0.5))

def test_refuses_two():
    with loopwatch.install(prometheus=False):
        with pytest.raises(loopwatch.AlreadyInstalled):
            loopwatch.install(prometheus=False, threshold=0.2)
        asyncio.run(app.fine())

def test_refuses_nonsense():
    with pytest.raises(loopwatch.SettingsError):
        loopwatch.install(threshold="soon")
    asyncio.run(app.fine())
""",
    )
    done.result.assert_outcomes(passed=4, failed=2)
    assert done.verdicts() == {
        "test_blocks": "blocked",
        "test_clean": "clean",
        "test_blocks_before_and_after": "blocked",
        "test_unmeasured_where_the_application_looks_less_closely": "unmeasured",
        "test_refuses_two": "clean",
        "test_refuses_nonsense": "clean",
    }
    assert len(done.sites("test_blocks_before_and_after")) == 2
    reason = done.entry("test_unmeasured_where_the_application_looks_less_closely")["reason"]
    assert reason == "the application's own watch has the threshold 0.5, not 0.05"


def test_a_loop_that_cannot_be_seen_leaves_its_test_unmeasured(pytester: pytest.Pytester) -> None:
    """And only that test: it is never called clean by default."""
    done = run(
        pytester,
        "--loopwatch",
        tests="""
class Mute(asyncio.AbstractEventLoop):
    running = False

    def run_forever(self):
        self.running = True
        asyncio._set_running_loop(self)
        asyncio._set_running_loop(None)
        self.running = False

    def is_running(self):
        return self.running

    def is_closed(self):
        return False

    def get_debug(self):
        return False

def test_mute():
    asyncio.run(app.fine())
    Mute().run_forever()

def test_clean():
    asyncio.run(app.fine())
""",
    )
    done.result.assert_outcomes(passed=2)
    assert done.verdicts() == {"test_mute": "unmeasured", "test_clean": "clean"}
    assert "Mute are not seen" in done.entry("test_mute")["reason"]


def test_what_is_told_after_its_test_was_over_is_charged_to_it_all_the_same(pytester: pytest.Pytester) -> None:
    """Its verdict changes, and the run fails, though each test has passed."""
    done = run(
        pytester,
        "--loopwatch",
        tests=SERVER
        + """
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(1)

def test_leaves_jobs_behind(server):
    async def submit():
        for _ in range(2):
            asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.3)
    server(submit()).result()

def test_clean(server):
    server(asyncio.sleep(0.7)).result()
""",
    )
    done.result.assert_outcomes(passed=2)
    assert done.verdicts() == {"test_leaves_jobs_behind": "blocked", "test_clean": "clean"}, done.text
    assert done.entry("test_leaves_jobs_behind")["reason"] == "told after the test was over"
    assert done.result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_rule_is_called_unused_only_where_all_that_carry_it_ran(pytester: pytest.Pytester) -> None:
    """Not where some were left out, by a keyword or by name."""
    tests = """
pytestmark = [pytest.mark.no_blocking, pytest.mark.allow_blocking(site="app.checkout", reason="known")]

def test_uses_it():
    asyncio.run(app.checkout())

def test_does_not():
    asyncio.run(app.fine())
"""
    for chosen in (["-k", "does_not"], ["test_it.py::test_does_not"]):
        done = run(pytester, *chosen, tests=tests)
        done.result.assert_outcomes(passed=1, deselected=1 if "-k" in chosen else 0)
        assert done.document["unused_rules"] == []
