"""What a task does that a test left behind in a loop which tests share: that test's, and no other's; real runs."""

from __future__ import annotations

import pytest

from tests.made_runs import Run, run

pytest_plugins = ["pytester"]

ASYNCIO = "pytest_asyncio.plugin"

LATE = """
import contextlib

kept = []

async def late(begin):
    await begin.wait()
    time.sleep(0.2)

def leave(**given):
    begin = asyncio.Event()
    kept.append(asyncio.create_task(late(begin), **given))
    return begin

async def let_go(begin):
    begin.set()
    await asyncio.sleep(0.02)
"""
"""A task that waits until another test lets it go on."""

SHARED = """
pytestmark = pytest.mark.asyncio(loop_scope={scope!r})

async def test_leaves():
    test_leaves.begin = leave(name="poller")
    await app.fine()

async def test_is_innocent():
    await let_go(test_leaves.begin)

async def test_is_innocent_too():
    await app.fine()
"""


def assert_charged(done: Run, leaves: str, during: str, site: str = "test_it.late") -> None:
    """With one finding, told of both; the test in whose call it happened is clean."""
    entry = done.entry(leaves)
    (left,) = entry["left_behind"]
    assert (entry["verdict"], entry["reason"]) == ("blocked", "it left a task behind"), done.text
    assert left["during"].endswith(f"::{during}"), done.text
    assert left["event"]["culprit"]["site"].rpartition(":")[0] == site
    assert entry["blocked"] == []
    assert done.verdicts()[during] == "clean", done.text


@pytest.mark.needs("pytest_asyncio")
@pytest.mark.parametrize("scope", ["module", "session"])
def test_a_task_left_behind_in_a_shared_loop_is_charged_to_the_test_that_made_it(
    pytester: pytest.Pytester, scope: str
) -> None:
    """As an error of its teardown, which fails the run; the others pass."""
    done = run(pytester, "--loopwatch", plugins=ASYNCIO, tests=LATE + SHARED.format(scope=scope))
    done.result.assert_outcomes(passed=3, errors=1)
    assert done.result.ret == pytest.ExitCode.TESTS_FAILED
    assert_charged(done, "test_leaves", "test_is_innocent")
    assert done.document["summary"] == {"clean": 2, "blocked": 1, "unmeasured": 0}
    done.result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaves*",
            "*A task that the test left behind blocked test_it.py::test_is_innocent.*",
            "*held 2?? ms by test_it.late:*Task 'poller'.*",
            "*> File *, in late*",
            "*Await it, or cancel it*",
            "left behind:",
            "*test_it.py::test_leaves: task 'poller' in test_it.py::test_is_innocent: test_it.late:*",
            "ERROR test_it.py::test_leaves - Failed: A task that*",
            "*3 passed, 1 error in*",
        ]
    )


INNOCENT = """
pytestmark = pytest.mark.asyncio(loop_scope="module")

async def serve(reader, writer):
    while line := await reader.readline():
        if line == b"block\\n":
            time.sleep(0.2)
        writer.write(line)
    writer.close()

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def connect():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    opened = []
    async def connect():
        opened.append(await asyncio.open_connection(*server.sockets[0].getsockname()))
        return opened[-1]
    yield connect
    for _, writer in opened:
        writer.close()
    server.close()
    await asyncio.sleep(0.02)

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def orders():
    queue = asyncio.Queue()
    async def consume():
        while await queue.get():
            time.sleep(0.2)
    consumer = asyncio.create_task(consume(), name="consumer")
    yield queue
    queue.put_nowait(0)
    await consumer

@pytest.fixture(scope="module")
def lazy():
    begin = asyncio.Event()
    kept.append(asyncio.create_task(late(begin)))
    return begin

async def ask(connection, word):
    reader, writer = connection
    writer.write(word + b"\\n")
    assert await reader.readline() == word + b"\\n"

async def test_clean_first(connect):
    test_clean_first.connection = await connect()
    await ask(test_clean_first.connection, b"fine")

async def test_blocks_on_a_connection_of_before():
    await ask(test_clean_first.connection, b"block")

async def test_blocks_on_its_own_connection(connect):
    await ask(await connect(), b"block")

async def test_clean_that_is_not_served():
    await app.fine()

async def test_blocks_a_consumer_of_a_fixture(orders):
    orders.put_nowait(1)
    await asyncio.sleep(0.02)

async def test_clean_that_asks_for_a_fixture_late(request):
    request.getfixturevalue("lazy")

async def test_blocks_a_task_of_that_fixture(lazy):
    await let_go(lazy)

async def test_clean_that_leaves_a_timer_and_a_task():
    asyncio.get_running_loop().call_later(0.1, time.sleep, 0.2)
    test_clean_that_leaves_a_timer_and_a_task.begin = begin = asyncio.Event()
    async def spawn():
        await begin.wait()
        kept.append(asyncio.create_task(late(begin)))
    kept.append(asyncio.create_task(spawn()))

async def test_blocks_by_what_a_timer_of_before_calls():
    await asyncio.sleep(0.3)

async def test_blocks_by_what_a_task_of_before_begins_now():
    await let_go(test_clean_that_leaves_a_timer_and_a_task.begin)

async def test_blocks_by_itself_beside_one_that_was_left():
    test_clean_that_leaves_a_timer_and_a_task.idle = leave()
    await app.checkout()

async def test_clean_with_no_task_of_before():
    for task in kept:
        task.cancel()
    await asyncio.gather(*kept, return_exceptions=True)
"""


@pytest.mark.needs("pytest_asyncio")
def test_what_a_test_sets_off_in_a_server_or_a_consumer_of_a_fixture_stays_its_own(pytester: pytest.Pytester) -> None:
    """Also on a connection that an earlier test opened, and what no task of an earlier test does by itself."""
    tests = "import pytest_asyncio\n" + LATE + INNOCENT
    done = run(pytester, "--loopwatch", plugins=ASYNCIO, tests=tests)
    verdicts = done.verdicts()
    assert {name for name in verdicts if "blocks" in name} == {
        name for name, verdict in verdicts.items() if verdict == "blocked"
    }, done.text
    assert len(verdicts) == 12
    assert all(entry["left_behind"] == [] for entry in done.document["tests"])
    assert "error" not in done.result.parseoutcomes(), done.text


@pytest.mark.needs("anyio", "uvloop")
def test_tests_of_anyio_that_share_a_loop(pytester: pytest.Pytester) -> None:
    """Its plugin runs them all in one task, on asyncio and on uvloop."""
    done = run(
        pytester,
        "--loopwatch",
        plugins="anyio",
        tests=LATE
        + """
pytestmark = pytest.mark.anyio

@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param}

@pytest.fixture(scope="module", autouse=True)
async def service(anyio_backend):
    begin = leave()
    yield begin
    for task in kept:
        task.cancel()

async def test_leaves():
    test_leaves.begin = leave()

async def test_is_innocent():
    await let_go(test_leaves.begin)

class TestClass:
    async def test_blocks(self, service):
        await let_go(service)
""",
    )
    done.result.assert_outcomes(passed=4, failed=2, errors=2)
    for loop in ("asyncio", "uvloop"):
        assert_charged(done, f"test_leaves[{loop}]", f"test_is_innocent[{loop}]")
        assert done.sites(f"test_blocks[{loop}]") == ["test_it.late"]


def test_a_loop_in_another_thread_and_test_cases(pytester: pytest.Pytester) -> None:
    """What a test hands to the loop of a server and does not wait for; tests of ``unittest`` likewise."""
    done = run(
        pytester,
        "--loopwatch",
        tests=LATE
        + """
import unittest

def setUpModule():
    global loop, thread
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

def tearDownModule():
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()

def call(coroutine):
    return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

async def leaving():
    return leave()

def test_leaves():
    test_leaves.begin = call(leaving())

def test_is_innocent():
    call(let_go(test_leaves.begin))

class TestCase(unittest.TestCase):
    def test_1_leaves_too(self):
        TestCase.begin = call(leaving())

    def test_2_is_innocent_too(self):
        call(let_go(TestCase.begin))
""",
    )
    done.result.assert_outcomes(passed=4, errors=2)
    assert_charged(done, "test_leaves", "test_is_innocent")
    assert_charged(done, "test_1_leaves_too", "TestCase::test_2_is_innocent_too")


@pytest.mark.needs("pytest_asyncio")
def test_it_may_warn_be_allowed_or_end_the_run(pytester: pytest.Pytester) -> None:
    """As findings in the test's own call do, by the mode, the rules of the test that left it, and ``-x``."""
    tests = LATE + SHARED.format(scope="module")
    done = run(pytester, "--loopwatch", "--loopwatch-mode=warn", plugins=ASYNCIO, tests=tests)
    done.result.assert_outcomes(passed=3, warnings=1)
    assert done.result.ret == pytest.ExitCode.OK
    assert_charged(done, "test_leaves", "test_is_innocent")
    done.result.stdout.fnmatch_lines(["*BlockingWarning: A task that the test left behind blocked*"])

    rule = '@pytest.mark.allow_blocking(site="test_it.late", reason="known")\n'
    allowed = tests.replace("async def test_leaves", rule + "async def test_leaves")
    done = run(pytester, "--loopwatch", plugins=ASYNCIO, tests=allowed)
    done.result.assert_outcomes(passed=3)
    assert set(done.verdicts().values()) == {"clean"}
    assert done.document["unused_rules"] == []

    asks = tests.replace("async def test_is_innocent():", "async def test_is_innocent(no_blocking):")
    done = run(pytester, plugins=ASYNCIO, tests=asks)  # what the other does is not asked
    done.result.assert_outcomes(passed=2, failed=1)
    assert done.verdicts() == {"test_is_innocent": "blocked"}

    done = run(pytester, "--loopwatch", "-x", plugins=ASYNCIO, tests=tests)
    done.result.assert_outcomes(passed=2, errors=1)


@pytest.mark.needs("pytest_asyncio", "xdist")
def test_workers_of_xdist_tell_of_what_was_left_behind(pytester: pytest.Pytester) -> None:
    """At their end, in one summary and one file."""
    tests = LATE + SHARED.format(scope="module")
    done = run(pytester, "--loopwatch", "-n1", plugins=f"{ASYNCIO} xdist", tests=tests)
    done.result.assert_outcomes(passed=3, errors=1)
    assert done.result.ret == pytest.ExitCode.TESTS_FAILED
    assert_charged(done, "test_leaves", "test_is_innocent")
