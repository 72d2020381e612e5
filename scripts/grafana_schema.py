"""Makes a JSON schema of dashboards from Grafana's own types, once, and prints where it is.

    python scripts/grafana_schema.py

Needs npm. What it fetches and makes stays in ``.venv``, under a name with the versions in it, and is never committed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("@grafana/schema@13.2.3", "ts-json-schema-generator@2.4.0", "typescript@5.9.3")
_TYPES = "node_modules/@grafana/schema/dist/types/raw/dashboard/x/types.gen.d.ts"
_LIMIT = 300.0


def schema() -> Path:
    """The file, made now where it is not there yet. Raises CalledProcessError where npm fails, which has said why."""
    versions = "_".join(package.rpartition("@")[2] for package in PACKAGES)
    made = ROOT / ".venv" / "grafana" / f"dashboard_{versions}.schema.json"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=made.parent) as folder:
            _make(Path(folder), made)
    return made


def _make(folder: Path, made: Path) -> None:
    _npm(folder, "init", "--yes")
    _npm(folder, "install", "--no-audit", "--no-fund", *PACKAGES)
    command = ("ts-json-schema-generator", "--path", _TYPES, "--type", "Dashboard", "--no-type-check", "-o", "schema")
    _npm(folder, "exec", "--offline", "--", *command)
    os.replace(folder / "schema", made)


def _npm(folder: Path, *arguments: str) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed; on Debian and Ubuntu: apt-get install npm")
    subprocess.run(
        [npm, *arguments], cwd=folder, check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL, timeout=_LIMIT
    )


if __name__ == "__main__":
    print(schema())
