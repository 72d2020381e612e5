"""The plugin beside the plugins and tools that tests of async code are run with; real runs, each in its own process."""

from __future__ import annotations

import pytest

from tests.made_runs import Run, run

pytest_plugins = ["pytester"]

ASYNCIO = "pytest_asyncio.plugin"

EVERY_SCOPE = """
import sys
import pytest_asyncio

{mark}
async def test_function_blocks():
    await app.checkout()

{mark}
async def test_function_clean():
    await app.fine()

@pytest.mark.asyncio(loop_scope="class")
class TestClass:
    async def test_blocks(self):
        await app.checkout()

    async def test_clean(self):
        await app.fine()

@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def service():
    stop = asyncio.Event()
    async def serve():
        while not stop.is_set():
            await asyncio.sleep(0.005)
    server = asyncio.create_task(serve())
    time.sleep(0.2)  # of the fixture, not of the test that comes first
    yield
    stop.set()
    await server

@pytest.mark.asyncio(loop_scope="module")
async def test_module_clean_first(service):
    await app.fine()

@pytest.mark.asyncio(loop_scope="module")
async def test_module_blocks(service):
    asyncio.get_running_loop().call_later(0.02, time.sleep, 0.2)
    await asyncio.sleep(0.05)

@pytest.mark.asyncio(loop_scope="module")
async def test_module_clean(service):
    await asyncio.sleep(0.02)

@pytest.mark.asyncio(loop_scope="session")
async def test_session_blocks():
    await app.checkout()

@pytest.mark.asyncio(loop_scope="session")
async def test_session_clean():
    await app.fine()
"""


def assert_each_got_its_own(done: Run) -> None:
    """Those that block are named so, and are the only ones."""
    verdicts = done.verdicts()
    assert verdicts and set(verdicts.values()) == {"clean", "blocked"}, done.text
    assert {name for name in verdicts if "blocks" in name} == {
        name for name, verdict in verdicts.items() if verdict == "blocked"
    }, verdicts
    blocked = list(verdicts.values()).count("blocked")
    done.result.assert_outcomes(passed=len(verdicts) - blocked, failed=blocked)


@pytest.mark.needs("pytest_asyncio")
@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_pytest_asyncio_with_every_scope_of_its_loops(pytester: pytest.Pytester, mode: str) -> None:
    """Where tests share a loop each is charged with its own, and a fixture's doing is no test's."""
    mark = "@pytest.mark.asyncio" if mode == "strict" else ""
    done = run(pytester, "--loopwatch", f"--asyncio-mode={mode}", plugins=ASYNCIO, tests=EVERY_SCOPE.format(mark=mark))
    assert_each_got_its_own(done)
    assert len(done.verdicts()) == 9
    assert done.outside() == {("setup", "test_it.service")}


@pytest.mark.needs("anyio", "uvloop")
def test_anyio_on_asyncio_and_uvloop(pytester: pytest.Pytester) -> None:
    """Both backends of its plugin, with a fixture of its own."""
    done = run(
        pytester,
        "--loopwatch",
        plugins="anyio",
        tests="""
@pytest.fixture(params=[("asyncio", {}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"])
def anyio_backend(request):
    return request.param

@pytest.fixture
async def slow(anyio_backend):
    time.sleep(0.2)

@pytest.mark.anyio
async def test_blocks():
    name = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    assert name in ("asyncio", "uvloop")
    await asyncio.sleep(0.01)
    await app.checkout()
    await asyncio.sleep(0.01)

@pytest.mark.anyio
async def test_clean(slow):
    await app.fine()
""",
    )
    assert_each_got_its_own(done)
    assert done.sites("test_blocks[uvloop]") == ["app.checkout"]
    assert done.outside() == {("setup", "test_it.slow")}


def test_isolated_asyncio_test_cases(pytester: pytest.Pytester) -> None:
    """``asyncSetUp`` and ``asyncTearDown`` are setup and teardown; an own failure stays what it is."""
    done = run(
        pytester,
        tests="""
import unittest

@pytest.mark.no_blocking
class TestCase(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        time.sleep(0.2)

    async def asyncTearDown(self):
        time.sleep(0.2)

    async def test_clean(self):
        await app.fine()

    async def test_blocks(self):
        await app.checkout()

    async def test_blocks_and_fails(self):
        await app.checkout()
        self.fail("mine")
""",
    )
    assert_each_got_its_own(done)
    assert done.outside() == {("setup", "test_it.TestCase.asyncSetUp"), ("teardown", "test_it.TestCase.asyncTearDown")}
    assert "AssertionError: mine" in done.text


@pytest.mark.needs("xdist")
def test_workers_of_xdist_report_to_one_file(pytester: pytest.Pytester) -> None:
    """Verdicts, what lies outside and unused rules arrive; a rule that one worker used is used."""
    done = run(
        pytester,
        "-n2",
        plugins="xdist",
        tests="""
pytestmark = [
    pytest.mark.no_blocking,
    pytest.mark.allow_blocking(site="test_it.known", reason="used by one"),
    pytest.mark.allow_blocking(site="app.other", reason="of no use"),
]

async def known():
    time.sleep(0.2)

@pytest.fixture
def slow():
    asyncio.run(known())

@pytest.mark.parametrize("number", range(3))
def test_clean(number, slow):
    asyncio.run(app.fine())

def test_allowed():
    asyncio.run(known())

def test_blocks():
    asyncio.run(app.checkout())
""",
    )
    done.result.assert_outcomes(passed=4, failed=1, warnings=1)
    assert sorted(done.verdicts().values()) == ["blocked", *["clean"] * 4]
    assert done.outside() == {("setup", "test_it.known")}
    assert done.document["unused_rules"] == ["allow_blocking(site='app.other', reason='of no use') of test_it.py"]
    done.result.stdout.fnmatch_lines(
        ["5 tests watched: 4 clean, 1 blocked*", "*test_it.py::test_blocks: app.checkout:4"]
    )


@pytest.mark.needs("pytest_timeout", "pytest_cov", "freezegun", "time_machine")
def test_timeouts_coverage_and_frozen_clocks(pytester: pytest.Pytester) -> None:
    """A timeout is the test's own failure, lines are counted, and a clock that stands still disturbs nothing."""
    done = run(
        pytester,
        "--loopwatch",
        "--cov=app",
        plugins="pytest_timeout pytest_cov.plugin time_machine",
        tests="""
import freezegun, time_machine
real_sleep = time.sleep

@pytest.mark.timeout(0.3)
def test_blocks_until_its_time_is_over():
    async def hang():
        real_sleep(20)
    asyncio.run(hang())

@freezegun.freeze_time("2020-02-02", real_asyncio=True)
def test_blocks_frozen():
    asyncio.run(app.checkout())

@freezegun.freeze_time("2020-02-02", real_asyncio=True)
def test_clean_frozen():
    asyncio.run(app.fine())

@time_machine.travel("2020-02-02", tick=False)
def test_blocks_travelling():
    asyncio.run(app.checkout())

@time_machine.travel("2020-02-02", tick=False)
def test_clean_travelling():
    assert time.time() == 1580601600.0
    asyncio.run(asyncio.sleep(0))
""",
    )
    assert_each_got_its_own(done)
    done.result.stdout.re_match_lines([r".*Failed: Timeout.*0\.3", r"app.py +\d+ +0 +100%"])
