#!/bin/sh
# Prints the path of a Python that labkit can use: 3.12 to 3.14, really running, able to make environments.
# Looks at names on PATH, then pyenv's versions, then what uv knows. A name on PATH may be a shim that fails or
# another version than it says, so every candidate is run. Exit status 1 and one line that says what to install
# if there is none. LABKIT_PYTHON names one to use instead of searching.
set -u

reject=""
usable() {
    [ -n "$1" ] || return 1
    # Its own path, not a shim's nor an environment's that may go; -I so that the caller's environment changes nothing.
    # Nor that of a link away from its library, as in ~/.local/bin: an environment made by it may not find the library
    # (https://github.com/python/cpython/issues/106045). A link to its whole folder stays: updates change that one.
    found=$("$1" -I -c '
import os, sys
if (3, 12) <= sys.version_info[:2] <= (3, 14) and sys.implementation.name == "cpython":
    found = path = sys._base_executable
    library = os.path.join(sys.platlibdir, "python%d.%d" % sys.version_info[:2], "os.py")
    for _ in range(40):
        if os.path.isfile(os.path.join(os.path.dirname(os.path.dirname(path)), library)):
            found = path
            break
        if not os.path.islink(path):
            break
        folder, target = os.path.dirname(path), os.readlink(path)
        path = os.path.normpath(os.path.join(os.path.realpath(folder) if target.startswith("..") else folder, target))
    print(found)
' 2>/dev/null) && [ -n "$found" ] || return 1
    if ! "$found" -I -c 'import ensurepip, ssl, venv' 2>/dev/null; then
        reject="$found lacks venv or ssl; on Debian or Ubuntu: apt-get install python3-venv"
        return 1
    fi
    printf '%s\n' "$found"
}

if [ -n "${LABKIT_PYTHON:-}" ]; then
    usable "$LABKIT_PYTHON" && exit 0
    echo "labkit: LABKIT_PYTHON=$LABKIT_PYTHON is no Python 3.12 to 3.14 that runs and can make environments${reject:+ ($reject)}" >&2
    exit 1
fi

for name in python3.13 python3.12 python3.14 python3 python; do
    usable "$(command -v "$name" 2>/dev/null)" && exit 0
done

root=${PYENV_ROOT:-}
[ -n "$root" ] || root=$(pyenv root 2>/dev/null) || root=${HOME:-/nonexistent}/.pyenv
for version in 3.13 3.12 3.14; do
    for candidate in "$root"/versions/"$version"*/bin/python3; do
        [ -x "$candidate" ] && usable "$candidate" && exit 0
    done
done

for version in 3.13 3.12 3.14; do
    usable "$(uv python find --no-project "$version" 2>/dev/null)" && exit 0
done

echo "labkit needs Python 3.12, 3.13 or 3.14 with venv and found none${reject:+ ($reject)}; install one, for example: apt-get install python3.13-venv, dnf install python3.13, or uv python install 3.13" >&2
exit 1
