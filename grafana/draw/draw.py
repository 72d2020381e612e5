"""Draws a dashboard's panels with Grafana's own components, over a real Prometheus under load, into a picture.

    python -m grafana.draw.draw overview docs/dashboard-overview.png

Not run by CI. Needs npm, Debian's ``prometheus`` and ``chromium``, ``pip install playwright`` (without its browsers),
and some minutes. What npm brings stays in ``.venv/grafana/draw``.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import http.server
import json
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.children import child
from examples.load import put_load

from ..expressions import FOLDER, filled, panels
from ..prometheus_server import Prometheus, prometheus

HERE = Path(__file__).resolve().parent
_LIMIT = 60.0
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m grafana.draw.draw", description=__doc__)
    parser.add_argument("dashboard", choices=sorted(path.stem for path in FOLDER.glob("*.json")))
    parser.add_argument("picture", type=Path)
    parser.add_argument("--rounds", type=int, default=2, help="of load on the example (default 2)")
    parser.add_argument("--panels", type=int, default=100, help="draw the first so many only")
    options = parser.parse_args()
    page = built(HERE.parents[1] / ".venv" / "grafana" / "draw")
    data = asked(options.dashboard, options.rounds, options.panels)
    (page / "data.json").write_text(json.dumps(data), encoding="utf-8")
    with served(page) as url:
        photograph(url, options.picture)


def built(folder: Path) -> Path:
    """The page as vite makes it; the packages are fetched when they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "index.html", "page.jsx"):
        shutil.copy(HERE / name, folder / name)
    if not (folder / "node_modules").exists():
        subprocess.run(["npm", "install", "--legacy-peer-deps", "--no-audit", "--no-fund"], cwd=folder, check=True)
    subprocess.run(["npx", "vite", "build", "--base", "./"], cwd=folder, check=True)
    return folder / "dist"


def asked(dashboard: str, rounds: int, most: int) -> dict[str, Any]:
    """What each panel shows after the example was under load."""
    board = json.loads((FOLDER / f"{dashboard}.json").read_text(encoding="utf-8"))
    with (
        tempfile.TemporaryDirectory() as folder,
        child("examples.fastapi_service", "--port", "0", "--with-parent", seconds=120.0) as (url, _),
        prometheus(Path(folder), {"shop": f"{url}/metrics/"}) as server,
    ):
        begun = time.time()
        time.sleep(5)
        for _ in range(rounds):
            asyncio.run(put_load(url, _LIMIT))
        ended = time.time()
        shown = [_shown(server, panel, begun, ended) for panel in list(panels(board))[:most]]
    return {"panels": shown, "from": begun * 1000, "to": ended * 1000}


def _shown(server: Prometheus, panel: dict[str, Any] | Any, begun: float, ended: float) -> dict[str, Any]:
    if panel["type"] == "table":
        return {"panel": panel, "table": _table(server, panel, ended)}
    series = []
    for target in panel["targets"]:
        text = filled(target["expr"]).replace("[1m]", "[10s]")
        if target.get("instant"):
            found = server.ask("query", query=text, time=str(ended))["result"]
            answers = [(each["metric"], [each["value"]]) for each in found]
        else:
            found = server.ask("query_range", query=text, start=str(begun), end=str(ended), step="1")["result"]
            answers = [(each["metric"], each["values"]) for each in found]
        for metric, values in answers:
            series.append(
                {
                    "legend": _legend(target["legendFormat"], metric),
                    "times": [at * 1000 for at, _ in values],
                    "values": [float(value) if value != "NaN" else None for _, value in values],
                }
            )
    return {"panel": panel, "series": series}


def _legend(pattern: str, metric: dict[str, str]) -> str:
    for label, value in metric.items():
        pattern = pattern.replace(f"{{{{{label}}}}}", value)
    return pattern


def _table(server: Prometheus, panel: Any, ended: float) -> dict[str, Any]:
    organized = next(each["options"] for each in panel["transformations"] if each["id"] == "organize")
    order = sorted(organized["indexByName"], key=organized["indexByName"].get)
    keys = [name for name in order if name not in organized["renameByName"]]
    titles = [organized["renameByName"][name] for name in order if name in organized["renameByName"]]
    lines: dict[tuple[str, ...], dict[str, float]] = {}
    for title, target in zip(titles, panel["targets"]):
        text = filled(target["expr"])
        for each in server.ask("query", query=text, time=str(ended))["result"]:
            key = tuple(each["metric"].get(name, "") for name in keys)
            lines.setdefault(key, {})[title] = float(each["value"][1])
    ordered = sorted(lines, key=lambda key: -lines[key].get(titles[0], 0.0))
    columns: list[dict[str, Any]] = [
        {"name": name, "unit": None, "values": [key[place] for key in ordered], **_overrides(panel, name)}
        for place, name in enumerate(keys)
    ]
    for title in titles:
        values = [lines[key].get(title) for key in ordered]
        columns.append({"name": title, "values": values, "unit": "short", **_overrides(panel, title)})
    return {"columns": columns}


def _overrides(panel: Any, name: str) -> dict[str, Any]:
    """What the panel says of one field."""
    found = [each for each in panel["fieldConfig"]["overrides"] if each["matcher"]["options"] == name]
    return {each["id"]: each["value"] for override in found for each in override["properties"]}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/index.html"
        server.shutdown()


def photograph(url: str, picture: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", headless=True, args=_FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 900})
        page.on("pageerror", lambda error: print(f"page: {error}"))
        page.goto(url)
        page.wait_for_selector("body[data-drawn=yes]", timeout=60_000)
        page.screenshot(path=str(picture), full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
