#!/usr/bin/env bash
# What the suite uses beside Python and pip, installed where that may be done: as root, with apt-get. Elsewhere it says
# what is missing, and the tests that need it are skipped, or fail with CI=true.
set -euo pipefail

missing=()
for program in make npm patchelf prometheus valgrind wrk; do
    command -v "$program" >/dev/null || missing+=("$program")
done
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
command -v cc >/dev/null || missing+=(gcc libc6-dev)
python3 -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("include"), "Python.h").stat()' 2>/dev/null \
    || missing+=(python3-dev)
[ ${#missing[@]} -eq 0 ] && exit

install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || return
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update && apt-get -qq -y --no-install-recommends install "${missing[@]}"
}

install || echo "NOT INSTALLED (needs root, apt-get and a network): ${missing[*]}" >&2
