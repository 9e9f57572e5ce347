#!/bin/sh
# All tests but the slow and the long ones and those that need Docker, the notebooks among them, with branch coverage of
# labkit: also of the code that runs inside the lab's nodes, where a module asks for it (marked `measured`). Nodes see
# neither the user's files nor /tmp, so the folder for the figures is opened to them (LABKIT_EXPOSE). A node that is ended
# while it writes its figures leaves a file that cannot be read: coverage says so and goes on. Arguments go to pytest;
# with any, no share of coverage is demanded.
set -eu
cd "$(dirname "$0")/.."
python=.venv/bin/python

LABKIT_EXPOSE="$(pwd -P)/.coverage-data"
COVERAGE_FILE="$LABKIT_EXPOSE/coverage"
export LABKIT_EXPOSE COVERAGE_FILE
rm -rf "$LABKIT_EXPOSE"
mkdir -p "$LABKIT_EXPOSE" out

notebooks=""
if ls notebooks/*.ipynb >/dev/null 2>&1; then
    notebooks="--nbval --nbval-current-env --nbval-cell-timeout=120 --nbval-sanitize-with=notebooks/sanitize.cfg"
fi

status=0
# shellcheck disable=SC2086  # $notebooks is several words
"$python" -m coverage run -m pytest -n 2 --dist loadscope -m "not slow and not long and not docker" --junitxml=out/tests.xml $notebooks "$@" || status=$?

"$python" -m coverage combine --quiet || status=1
demand=85
if [ $# -gt 0 ]; then demand=0; fi
"$python" -m coverage report --fail-under=$demand || status=1
exit $status
