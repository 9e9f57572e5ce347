#!/bin/sh
# Format, lint, types, and which part may import which. Runs all four, then fails if any did.
set -u
cd "$(dirname "$0")/.."
failed=0
run() {
    echo "== $*"
    program=$1
    shift
    ".venv/bin/$program" "$@" || failed=1
}
run ruff format --check .
run ruff check .
run mypy
run lint-imports --no-logo
exit $failed
