"""``grafana/compose.yaml`` without Docker: what is in it agrees with itself, with what it mounts and with Prometheus.

That the three containers come up together has to be seen where there is Docker.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import pytest

from examples.listening import free_port
from grafana.expressions import FOLDER, panels
from tests.block_runs import running
from tests.conftest import is_missing
from tests.programs import ROOT

if is_missing("mypy"):
    pytest.skip("the file is checked once, in the development environment", allow_module_level=True)
pytest.importorskip("check_jsonschema")

from ruamel.yaml import YAML

FILE = FOLDER.parent / "compose.yaml"
LISTENS = {"prometheus": 9090, "grafana": 3000}
"""On which port each listens that is not told one."""


def read(file: Path) -> Any:
    return YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))


SERVICES: dict[str, dict[str, Any]] = read(FILE)["services"]


def mounts(service: str) -> dict[PurePosixPath, Path]:
    """What lies where in the container, and where in the checkout."""
    told = [volume.split(":") for volume in SERVICES[service]["volumes"]]
    assert [how for _, _, how in told if how != "ro"] == []
    return {PurePosixPath(there): (FILE.parent / here).resolve() for here, there, _ in told}


def mounted(service: str, there: str) -> Path:
    """The file of the checkout that a container sees by that name."""
    for begin, here in mounts(service).items():
        if PurePosixPath(there).is_relative_to(begin):
            return here / PurePosixPath(there).relative_to(begin)
    raise LookupError(f"{service} has nothing mounted at {there}")


def listens(service: str) -> int:
    told = re.search(r"--port (\d+)", str(SERVICES[service].get("command", "")))
    return int(told[1]) if told else LISTENS[service]


def schema_check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_has_the_shape_of_the_compose_specification(tmp_path: Path) -> None:
    """By the specification's own schema, which refuses what is misspelt."""
    checked = schema_check(FILE)
    assert checked.returncode == 0, checked.stdout
    misspelt = tmp_path / "compose.yaml"
    misspelt.write_text(FILE.read_text(encoding="utf-8").replace("volumes:", "volume:"), encoding="utf-8")
    assert schema_check(misspelt).returncode == 1


@pytest.mark.parametrize("service", SERVICES)
def test_what_is_mounted_is_there_and_what_listens_is_published_on_loopback_alone(service: str) -> None:
    """A missing file would be made, as an empty folder; a port without an address would be open to everybody."""
    assert [here for here in mounts(service).values() if not here.exists()] == []
    port = listens(service)
    assert SERVICES[service]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}" in FILE.read_text(encoding="utf-8")


@pytest.mark.needs(programs=("promtool",))
def test_promtool_takes_the_configuration_as_the_container_sees_it(tmp_path: Path) -> None:
    """With its rules beside it, under the name by which Prometheus is told of it."""
    (config,) = [word for word in SERVICES["prometheus"]["command"] if word.startswith("--config.file=")]
    for there, here in mounts("prometheus").items():
        copy = tmp_path / there.relative_to("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(here.read_bytes())
    path = PurePosixPath(config.partition("=")[2]).relative_to("/")
    checked = subprocess.run(
        ["promtool", "check", "config", str(tmp_path / path)], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert checked.stdout.count("rules found") == 2


def test_grafana_is_led_to_prometheus_and_to_every_dashboard() -> None:
    """The source is of the kind that each panel takes, by the variable that chooses one; the first page is there."""
    (source,) = read(mounted("grafana", "/etc/grafana/provisioning/datasources/prometheus.yml"))["datasources"]
    url = urlsplit(source["url"])
    assert (url.hostname, url.port) == ("prometheus", listens("prometheus"))
    (provider,) = read(mounted("grafana", "/etc/grafana/provisioning/dashboards/loopwatch.yml"))["providers"]
    folder = mounted("grafana", provider["options"]["path"])
    assert folder == FOLDER
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert mounted("grafana", home).is_file()
    boards = [read(file) for file in folder.glob("*.json")]
    assert len(boards) == 3
    for board in boards:
        (chooser,) = [each for each in board["templating"]["list"] if each["name"] == "datasource"]
        assert (chooser["type"], chooser["query"]) == ("datasource", source["type"])
        for panel in panels(board):
            assert panel["datasource"] == {"type": source["type"], "uid": "${datasource}"}, panel["title"]


def test_the_example_s_own_command_serves_what_prometheus_scrapes(tmp_path: Path) -> None:
    """Run here, on a copy of the checkout: pip finds the extra and nothing missing, and the target has loopwatch's
    numbers. Only where it listens is another, and that pip changes nothing.
    """
    (scraped,) = read(mounted("prometheus", "/etc/prometheus/prometheus.yml"))["scrape_configs"]
    (target,) = scraped["static_configs"][0]["targets"]
    assert target == f"example:{listens('example')}"

    example = SERVICES["example"]
    (checkout,) = mounts("example")
    shell, dash_c, commands = shlex.split(example["command"])
    port = free_port()
    for old, new in (
        (f"{checkout}/", f"{ROOT}/"),
        (example["working_dir"], str(tmp_path)),
        ("--host 0.0.0.0", "--host 127.0.0.1"),
        (f"--port {listens('example')}", f"--port {port}"),
        ("pip install", f"{sys.executable} -m pip install --dry-run --no-index --no-build-isolation"),
    ):
        assert commands.count(old) == 1, old
        commands = commands.replace(old, new)
    with running([shell, dash_c, commands], tmp_path, **example["environment"]) as started:
        answer = started.ask(f"http://127.0.0.1:{port}{scraped['metrics_path']}", FILE.name)
        assert "does not provide the extra" not in started.printed()
    assert re.search(r'^loopwatch_info\{.*steps="python".*\} 1\.0$', answer, re.MULTILINE)
