#!/bin/sh
# Makes .venv, with the locked dependencies and labkit itself in it. Does nothing when that has been done.
#
# Safe to run again at any time: a stamp says that .venv is complete, for this lock and this folder; a marker says
# that it was being made, so an interrupted one is made anew. An environment of somebody else's that fits is kept.
set -eu
cd "$(dirname "$0")/.."

lock=requirements-dev.lock
stamp=.venv/.labkit-complete
marker=.venv/.labkit-unfinished
python=.venv/bin/python
here=$(pwd -P)
want="$(cat "$lock" pyproject.toml | cksum) $here"
have=$(cat "$stamp" 2>/dev/null || :)

# Not half made, not moved since (its scripts name the folder), of a version that fits, runs, and has pip.
fits() {
    [ ! -e "$marker" ] || return 1
    case $have in ""|*" $here") ;; *) return 1 ;; esac
    "$python" -I -c 'import pip, sys; sys.exit(not (3, 12) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

if [ "$have" = "$want" ] && fits; then exit 0; fi

started=$(date +%s)
if ! fits; then
    base=$(sh tools/find-python.sh)
    echo "labkit: making .venv with $("$base" -V) ($base)"
    rm -rf .venv
    mkdir .venv
    : > "$marker"
    "$base" -m venv .venv
fi
: > "$marker"

# pip's long output goes to a log; this shows how far it is: on a terminal in one line, else now and then.
total=$(grep -c '^[A-Za-z]' "$lock" || :)
log=.venv/setup.log
progress() {
    count=0
    while IFS= read -r line; do
        printf '%s\n' "$line" >> "$log"
        case $line in
            Collecting*|Processing*|Requirement\ already*|Ignoring*) count=$((count + 1)) ;;
            Installing\ collected*) note "installing; this takes a while"; continue ;;
            *) continue ;;
        esac
        if [ -t 1 ] || [ $((count % 50)) -eq 0 ]; then note "package $count of $total"; fi
    done
}
note() {
    if [ -t 1 ]; then printf '\r\033[Klabkit: %s' "$1"; else printf 'labkit: %s\n' "$1"; fi
}
pip_install() {
    "$python" -m pip install --disable-pip-version-check --no-input --progress-bar off --no-compile "$@" 2>&1
}
# What pip would do with one processor is done here with all of them. Templates that are no Python are no failure.
compile_all() {
    note "compiling"
    folder=$("$python" -I -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    "$python" -I -W ignore -m compileall -q -j 0 "$folder" >> "$log" 2>&1 || :
}

: > "$log"
rm -f .venv/.labkit-failed
{ pip_install --require-hashes -r "$lock" || : > .venv/.labkit-failed; } | progress
if [ ! -e .venv/.labkit-failed ] && pip_install --no-deps --no-build-isolation --editable . >> "$log"; then
    compile_all
    printf '%s' "$want" > "$stamp"
    rm -f "$marker"
    note "ready after $(($(date +%s) - started)) s"
    if [ -t 1 ]; then echo; fi
else
    if [ -t 1 ]; then echo; fi
    grep -iE 'error|failed|no matching' "$log" | tail -n 5 >&2 || tail -n 5 "$log" >&2
    echo "labkit: installing failed; the lines above say why, $log holds all of it. Run the same command again when mended." >&2
    exit 1
fi
