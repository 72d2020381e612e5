"""A resolver that is slow where its name says so, put before that of the C library in programs of their own."""

from __future__ import annotations

import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

from tests.programs import run

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

/* "slow-0.3" takes 0.3 s and is this machine; "slow-0.3-fails" takes as long and is not known. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    if (name != NULL && strncmp(name, "slow-", 5) == 0) {
        char *rest;
        double seconds = strtod(name + 5, &rest);
        struct timespec pause = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
        nanosleep(&pause, NULL);
        if (strcmp(rest, "-fails") == 0)
            return EAI_NONAME;
        name = "127.0.0.1";
    }
    return ((resolver *)dlsym(RTLD_NEXT, "getaddrinfo"))(name, service, hints, found);
}
"""

PRELUDE = """
import asyncio, json, threading, time
import loopwatch
import uvloop
from loopwatch.testing import RecordingReporter

events = RecordingReporter()

def install(wait=0.1):
    return loopwatch.install(threshold=0.1, executor_wait=wait, reporters=[events], prometheus=False)

async def look_up(name):
    return await asyncio.get_running_loop().getaddrinfo(name, 80)

async def at_once(number, name):
    await asyncio.gather(*(look_up(name) for _ in range(number)))

def libuv(watch):
    assert watch.flush(10)
    found = [each for each in watch.snapshot().executors if each.kind == "libuv"]
    assert list(watch._faults) == [] and len(found) <= 1
    return found[0].to_dict() if found else None

def tell(**told):
    print(json.dumps(told))

def tell_in_and_after(waits):
    "What is seen once it has been awaited, and when all that it has given up is over."
    async def main():
        await waits
        meanwhile = libuv(watch)
        await asyncio.sleep(0.9)
        return meanwhile
    with install() as watch:
        meanwhile = uvloop.run(main())
        tell(meanwhile=meanwhile, executor=libuv(watch))
"""


def build(folder: Path) -> Path:
    """Compile it."""
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SOURCE, encoding="utf-8")
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, timeout=60)
    return library


def told_by(library: Path, program: str, **environment: str) -> Any:
    """What a program tells that looks up names there, by one call of ``tell``."""
    done = run(f"{PRELUDE}\n{textwrap.dedent(program)}", LD_PRELOAD=str(library), **environment)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)
