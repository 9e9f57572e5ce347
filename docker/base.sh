#!/bin/sh
# Makes a base image where no registry can be reached: sh docker/base.sh [TAG], by default python:3.13-slim.
#
# Debian's own packages by debootstrap, and under /usr/local the Python that tools/find-python.sh finds on this machine,
# with its pip and without tests, headers and what links programs. This machine's CA certificates go along, so that pip
# trusts in the image what it trusts here. For root on Debian or Ubuntu; the image is of the same release as the machine,
# since the Python was built for that. DOCKER_HOST says which engine gets the image; one that has an image of that name
# keeps it. What is made on the way lies in a folder of its own under TMPDIR, which is removed in the end.
set -eu
tag=${1:-python:3.13-slim}
cd "$(dirname "$0")/.."

refuse() {
    echo "docker/base.sh: $1" >&2
    exit 1
}
[ $# -le 1 ] || refuse "takes one argument, the image's name, not $#"
[ "$(id -u)" = 0 ] || refuse "debootstrap needs root; run it as root: sudo sh docker/base.sh $tag"
command -v debootstrap >/dev/null || refuse "debootstrap is missing; install it: apt-get install debootstrap"
command -v docker >/dev/null || refuse "docker is missing; install it: apt-get install docker.io"
timeout 20 docker version >/dev/null 2>&1 ||
    refuse "no engine answers at ${DOCKER_HOST:-docker's default socket}; start it: systemctl start docker"
if docker image inspect "$tag" >/dev/null 2>&1; then
    echo "docker/base.sh: there is an image $tag already; to have it made anew: docker image rm $tag"
    exit 0
fi
python=$(sh tools/find-python.sh)
suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$suite" ] || refuse "/etc/os-release names no release to bootstrap; this is for Debian and Ubuntu"

work=$(mktemp -d)
remove() {
    # debootstrap unmounts what it mounts, unless it is killed.
    awk -v under="$work/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
    rm -rf --one-file-system "$work"
}
trap remove EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
chmod 755 "$work"
root=$work/root

# What Python's extension modules load, and setpriv. The names of a few differ between releases: those there are.
packages=ca-certificates,util-linux
for wanted in libbz2-1.0 libexpat1 'libffi[0-9]+' liblzma5 'libncursesw6' 'libreadline[0-9]+(t64)?' 'libsqlite3-0' \
    'libssl3(t64)?' libuuid1 zlib1g; do
    found=$(apt-cache pkgnames | grep -Ex "$wanted" | sort -V | tail -n 1)
    [ -z "$found" ] || packages=$packages,$found
done
echo "docker/base.sh: bootstrapping $suite"
timeout 300 debootstrap --variant=minbase --include="$packages" "$suite" "$root" >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    refuse "debootstrap of $suite failed; the lines above say why"
}
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/doc "$root"/usr/share/man \
    "$root"/usr/share/locale
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

# The Python: its prefix, but for what only building programs needs and what this machine has installed into it.
"$python" -I - "$root/usr/local" <<'PYTHON'
import os, shutil, sys, sysconfig
from pathlib import Path

to, name = Path(sys.argv[1]), f"python{sys.version_info.major}.{sys.version_info.minor}"
stdlib = Path(sysconfig.get_path("stdlib"))
extensions = Path(sysconfig.get_config_var("DESTSHARED"))
left_out = shutil.ignore_patterns(
    "__pycache__", "test", "tests", "idlelib", "turtledemo", "tkinter", "_tkinter*", "config-*", "site-packages", "*.a"
)
shutil.copytree(stdlib, to / "lib" / name, symlinks=True, ignore=left_out, dirs_exist_ok=True)
if stdlib not in extensions.parents:
    shutil.copytree(extensions, to / "lib" / name / "lib-dynload", ignore=left_out, dirs_exist_ok=True)
site = to / "lib" / name / "site-packages"
site.mkdir()
for library in Path(sysconfig.get_config_var("LIBDIR")).glob(f"lib{name}*.so*"):
    shutil.copy2(library, to / "lib", follow_symlinks=False)
shutil.copy2(os.path.realpath(sys.executable), to / "bin" / name)
for link in ("python3", "python"):
    (to / "bin" / link).symlink_to(name)
PYTHON
chroot "$root" ldconfig
chroot "$root" /usr/local/bin/python -m ensurepip >"$work/log" 2>&1 || {
    tail -n 5 "$work/log" >&2
    refuse "$python does not run in the image, or has no pip to give; the lines above say why"
}
ln -sf pip3 "$root/usr/local/bin/pip"
rm -rf "$root"/usr/local/lib/python*/ensurepip/_bundled
find "$root/usr/local" "$root/var" -depth -name __pycache__ -exec rm -rf {} +

tar --numeric-owner --one-file-system -C "$root" -c . | docker import \
    --change "ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin" --change 'CMD ["python3"]' \
    --message "made by docker/base.sh" - "$tag" >/dev/null
version=$(docker run --rm --network none "$tag" python -V) || refuse "the image $tag was made, but Python does not run in it"
size=$(docker image inspect --format '{{.Size}}' "$tag" | awk '{ printf "%.0f MB", $1 / 1000000 }')
echo "docker/base.sh: made $tag: $version on $suite, $size"
