"""A race that is meant to be: what does not see it here, sees none anywhere else."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import threading
from pathlib import Path

CODE = """
#include <sched.h>

static int here, count;

/* Both threads are within, and nothing orders what they do then: relaxed atomics do not. */
void race(void)
{
    __atomic_fetch_add(&here, 1, __ATOMIC_RELAXED);
    while (__atomic_load_n(&here, __ATOMIC_RELAXED) < 2) {
        sched_yield();
    }
    count++;
}
"""

with tempfile.TemporaryDirectory() as folder:
    source = Path(folder, "canary.c")
    source.write_text(CODE)
    library = Path(folder, "canary.so")
    subprocess.run(["cc", "-g", "-fsanitize=thread", "-shared", "-fPIC", "-o", library, source], check=True)
    race = ctypes.CDLL(str(library)).race
    threads = [threading.Thread(target=race) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
