#!/bin/sh
# Writes requirements.lock (to run labkit), requirements-dev.lock (that and what its tests need) and
# docker/requirements-node.lock (what runs inside a container that is a host of a lab) from pyproject.toml: exact versions with the hashes of their files on every platform, for Python 3.12 to 3.14.
# Needs uv on PATH or in .venv. Arguments go to uv, such as --upgrade.
set -eu
cd "$(dirname "$0")/.."
if [ -x .venv/bin/uv ]; then uv=.venv/bin/uv; else uv=uv; fi
command -v "$uv" >/dev/null || { echo "tools/lock.sh needs uv; install it with: python3 -m pip install uv" >&2; exit 1; }

# What belongs to this machine (other indexes, folders of wheels) must not decide what is locked.
unset PIP_FIND_LINKS UV_FIND_LINKS UV_INDEX UV_EXTRA_INDEX_URL UV_CONSTRAINT UV_OVERRIDE 2>/dev/null || :
compile() {
    "$uv" pip compile --quiet --no-config --universal --fork-strategy fewest --python-version 3.12 --generate-hashes \
        --no-header --no-annotate "$@"
}
compile "$@" --group build --extra dev --output-file requirements-dev.lock pyproject.toml
compile "$@" --group build --constraints requirements-dev.lock --output-file requirements.lock pyproject.toml
compile "$@" --group pyproject.toml:node --constraints requirements.lock --output-file docker/requirements-node.lock

if grep -nE '://|^-|@ file' requirements.lock requirements-dev.lock docker/requirements-node.lock; then
    echo "tools/lock.sh: the lines above name a host, an index or a file; a lock must not" >&2
    exit 1
fi
