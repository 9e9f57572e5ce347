#!/bin/sh
# Format, lint, types, and which part may import which. Runs all four, then fails if any did.
set -u
cd "$(dirname "$0")/.."
failed=0
run() {
    echo "== $*"
    .venv/bin/python -m "$@" || failed=1
}
run ruff format --check .
run ruff check .
run mypy
run importlinter.cli lint
exit $failed
