"""A bad file gives one lesson and nothing else: file, place, what is wrong, what to do; no process, no file, no thread.

Asked of `Lab("file.toml")`, as a user does. Each case is the good file with one thing made wrong.
"""

import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from labkit import Lab
from labkit.errors import TopologyError
from tests.topology.test_reader import GOOD

CAROL = '[nodes.carol]\nrole = "client"\naddresses = ["192.168.7.2", "fd00:7::2"]\n'
WEB1 = '[nodes.web1]\nrole = "backend"\naddresses = ["192.168.8.2", "fd00:8::2"]\n'
POOLS = '[pools]\nweb = ["web1"]\n'
LETTERS = "use at most 15 letters, digits and '_', starting with a letter."
FORMAT = "docs/topology.md shows the format."
HOSTS = "use a host address of 192.168.7.0/24 or fd00:7::/64 or 192.168.8.0/24 or fd00:8::/64."
OWN = "give each link a subnet of its own."
QUOTES = 'put it in quotes: "…".'

# case: (old, new, the whole message after the file's name)
CASES = {
    "duplicate node name": (
        "[nodes.web1]",
        "[nodes.carol]",
        "this is not TOML: Cannot declare ('nodes', 'carol') twice (at line 14, column 13); mend it; " + FORMAT,
    ),
    "the same name, case aside": (
        "[nodes.web1]",
        "[nodes.Carol]",
        "nodes.Carol: 'Carol' and 'carol' are one host name, case aside; rename one of them.",
    ),
    "duplicate address": (
        '"192.168.8.2"',
        '"192.168.8.1"',
        "nodes.web1.addresses[0]: 192.168.8.1 is the address of 'edge' already; give each node its own.",
    ),
    "duplicate address, written otherwise": (
        '"fd00:8::2"',
        '"FD00:8:0::0001"',
        "nodes.web1.addresses[1]: fd00:8::1 is the address of 'edge' already; give each node its own.",
    ),
    "duplicate address in one node": (
        '"192.168.8.2"',
        '"192.168.8.2", "192.168.8.2"',
        "nodes.web1.addresses[1]: web1 has an IPv4 address on link 'back' already; keep one of each family.",
    ),
    "address outside its subnet": (
        '"192.168.7.2"',
        '"192.168.9.2"',
        f"nodes.carol.addresses[0]: 192.168.9.2 is in no link's subnet; {HOSTS}",
    ),
    "address on the wrong link": (
        '"192.168.7.2", "fd00:7::2"',
        '"192.168.8.3", "fd00:8::3"',
        "nodes.carol.addresses: a client has its addresses on link 'front' and nowhere else; "
        "give it one of 192.168.7.0/24 or fd00:7::/64.",
    ),
    "address with a zone": (
        '"fd00:7::2"',
        '"fd00:7::2%eth0"',
        "nodes.carol.addresses[1]: eth0 after the '%' is a zone; write the address without '%' and zone.",
    ),
    "subnet with a zone": (
        '"fd00:7::/64"',
        '"fd00:7::%eth0/64"',
        "links.front.subnets: eth0 after the '%' is a zone; write the address without '%' and zone.",
    ),
    "overlapping subnets": (
        '"192.168.8.0/24"',
        '"192.168.0.0/16"',
        f"links.back.subnets: 192.168.0.0/16 overlaps 192.168.7.0/24 of link 'front'; {OWN}",
    ),
    "overlapping subnets, the wide one first": (
        '"192.168.7.0/24"',
        '"192.168.0.0/16"',
        f"links.back.subnets: 192.168.8.0/24 overlaps 192.168.0.0/16 of link 'front'; {OWN}",
    ),
    "the same subnet twice": (
        '"fd00:8::/64"',
        '"fd00:7::/64"',
        f"links.back.subnets: fd00:7::/64 overlaps fd00:7::/64 of link 'front'; {OWN}",
    ),
    "unknown pool member": (
        '["web1"]',
        '["web1", "web9"]',
        "pools.web[1]: there is no node web9; name backends, such as 'web1'.",
    ),
    "a pool of clients": (
        '["web1"]',
        '["carol"]',
        "pools.web[0]: 'carol' is a client; name backends, such as 'web1'.",
    ),
    "a listener that names a pool": (
        "port = 80",
        'port = 80\npool = "web"',
        "listeners[0].pool: this key means nothing here; did you mean 'protocol'?",
    ),
    "a pool that is a table": (
        'web = ["web1"]',
        'web = { backends = ["web1"] }',
        f"pools.web: a list is wanted here, not a table; {FORMAT}",
    ),
    "backends beside nodes": (
        "[pools]",
        "[backends]",
        "backends: this key means nothing here; use name, links, nodes, pools, listeners.",
    ),
    "name over 15 characters": (
        "[nodes.carol]",
        "[nodes.carolinecaroline]",
        f"nodes.carolinecaroline: the node name carolinecaroline has 16 characters; {LETTERS}",
    ),
    "pool name over 15 characters": (
        "web = [",
        "webwebwebwebwebw = [",
        f"pools.webwebwebwebwebw: the pool name webwebwebwebwebw has 16 characters; {LETTERS}",
    ),
    "semicolon": (
        "[nodes.carol]",
        '[nodes."carol;reboot"]',
        f"nodes.'carol;reboot': 'carol;reboot' is not a name for a node; {LETTERS}",
    ),
    "slash": ("[nodes.carol]", '[nodes."a/b"]', f"nodes.'a/b': 'a/b' is not a name for a node; {LETTERS}"),
    "two dots": ("[nodes.carol]", '[nodes.".."]', f"nodes.'..': '..' is not a name for a node; {LETTERS}"),
    "path": ("[links.back]", '[links."../back"]', f"links.'../back': '../back' is not a name for a link; {LETTERS}"),
    "newline": ("[nodes.carol]", r'[nodes."a\nb"]', rf"nodes.'a\nb': 'a\nb' is not a name for a node; {LETTERS}"),
    "newline at the end": (
        "[nodes.carol]",
        r'[nodes."a\n"]',
        rf"nodes.'a\n': 'a\n' is not a name for a node; {LETTERS}",
    ),
    "leading dash": ("[nodes.carol]", "[nodes.-rf]", f"nodes.'-rf': '-rf' is not a name for a node; {LETTERS}"),
    "escape sequence": (
        'name = "three hosts"',
        r'name = "\u001b[2J"',
        r"name: '\x1b[2J' is not a title; use 1 to 60 printable characters.",
    ),
    "no backends": (WEB1, "", 'nodes: there is no backend; give at least one node role = "backend".'),
    "no pools and no backends": (
        f"{WEB1}\n{POOLS}",
        "",
        'nodes: there is no backend; give at least one node role = "backend".',
    ),
    "empty pool": ('["web1"]', "[]", "pools.web: the pool is empty; name backends in it, such as 'web1'."),
    "not TOML": (
        "[links.front]",
        "{links: front}",
        f"this is not TOML: Invalid statement (at line 3, column 1); mend it; {FORMAT}",
    ),
    "text for a list of addresses": (
        '["192.168.7.2", "fd00:7::2"]',
        '"192.168.7.2"',
        f"nodes.carol.addresses: a list is wanted here, not text; {FORMAT}",
    ),
    "lists in a list of addresses": (
        '["192.168.7.2", "fd00:7::2"]',
        '[["192.168.7.2"], "fd00:7::2"]',
        f"nodes.carol.addresses[0]: text is wanted here, not a list; {QUOTES}",
    ),
    "text for a list of subnets": (
        '["192.168.7.0/24", "fd00:7::/64"]',
        '"192.168.7.0/24"',
        f"links.front.subnets: a list is wanted here, not text; {FORMAT}",
    ),
    "a number for a subnet": (
        '"192.168.7.0/24"',
        "24",
        f"links.front.subnets[0]: text is wanted here, not a whole number; {QUOTES}",
    ),
    "text for a node": (
        CAROL,
        '[nodes]\ncarol = "client"\n',
        f"nodes.carol: a table is wanted here, not text; {FORMAT}",
    ),
    "a list for a node": (CAROL, "[[nodes.carol]]\n", f"nodes.carol: a table is wanted here, not a list; {FORMAT}"),
    "a list for a link": (
        "[links.front]",
        "[[links.front]]",
        f"links.front: a table is wanted here, not a list; {FORMAT}",
    ),
    "a table in a node": (
        'role = "client"',
        'role = { is = "client" }',
        f"nodes.carol.role: text is wanted here, not a table; {FORMAT}",
    ),
    "a table for the listeners": (
        "[[listeners]]\nport = 80\n[[listeners]]",
        "[listeners]",
        f"listeners: a list is wanted here, not a table; {FORMAT}",
    ),
    "text for a port": (
        "port = 80",
        'port = "80"',
        f"listeners[0].port: a whole number is wanted here, not text; {FORMAT}",
    ),
    "no number for a port": (
        "port = 5300",
        "port = nan",
        f"listeners[1].port: a whole number is wanted here, not a number; {FORMAT}",
    ),
    "a date for a title": (
        '"three hosts"',
        "1979-05-27",
        f"name: text is wanted here, not a date; {FORMAT}",
    ),
}


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test's process writes, beside it or into the folder for scratch, is seen by `refused`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def alive() -> set[object]:
    """This process's children, threads and open files."""
    tasks = Path("/proc/self/task").glob("*/children")
    children = {f"child {pid}" for task in tasks for pid in task.read_text().split()}
    return {*children, *threading.enumerate(), *os.listdir("/proc/self/fd")}


def files(folder: Path) -> list[tuple[Path, int, int]]:
    return [(path, path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(folder.rglob("*"))]


def refused(path: str | Path, folder: Path) -> str:
    """The message with which `Lab(path)` is refused, without the file's name; nothing may have come into being."""
    before, there = alive(), files(folder)
    with pytest.raises(TopologyError) as caught:
        Lab(path)
    assert alive() - before == set()
    assert files(folder) == there
    assert type(caught.value) is TopologyError
    return lesson(caught.value, path)


def lesson(error: TopologyError, path: str | Path) -> str:
    message = str(error)
    assert message.isprintable()  # one line, whatever was in the file
    assert re.search(r"; .+[^.?][.?]$", message)  # what to do comes after what is wrong
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "lab.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_good_file_is_good(tmp_path: Path) -> None:
    assert list(Lab(written(tmp_path, GOOD)).nodes) == ["carol", "edge", "web1"]


@pytest.mark.parametrize("case", CASES)
def test_one_thing_wrong(tmp_path: Path, case: str) -> None:
    old, new, message = CASES[case]
    assert GOOD.count(old) >= 1
    assert refused(written(tmp_path, GOOD.replace(old, new, 1)), tmp_path) == message


BINARY = {
    "zeros": (bytes(64), f"this is not TOML: Invalid statement (at line 1, column 1); mend it; {FORMAT}"),
    "a program": (b"\x7fELF\x02\x01\x01\xff", "byte 7 is not UTF-8; save the file as UTF-8 text."),
    "other encoding": (GOOD.encode("utf-16"), "byte 0 is not UTF-8; save the file as UTF-8 text."),
    "empty": (b"", f"links: this is missing; add 'links'; {FORMAT}"),
    "comments alone": (b"# a lab\n\n", f"links: this is missing; add 'links'; {FORMAT}"),
}


@pytest.mark.parametrize("case", BINARY)
def test_no_topology_at_all(tmp_path: Path, case: str) -> None:
    content, message = BINARY[case]
    assert refused(written(tmp_path, content), tmp_path) == message


def test_no_file_to_read(tmp_path: Path) -> None:
    absent = "there is no such file; check its name, or use Lab() for the default lab."
    assert refused(tmp_path / "absent.toml", tmp_path) == absent
    assert refused(tmp_path, tmp_path) == "this is a directory; name a TOML file."
    inside = written(tmp_path, GOOD) / "lab.toml"
    assert refused(inside, tmp_path) == "it cannot be read (Not a directory); check its name and permissions."
    endless = tmp_path / ("x" * 300)
    assert refused(endless, tmp_path) == "it cannot be read (File name too long); check its name and permissions."


@pytest.mark.parametrize("name", ["", "two\nlines.toml", "clear\x1b[2J.toml"])
def test_a_name_that_cannot_be_shown_is_quoted(name: str) -> None:
    with pytest.raises(TopologyError) as caught:
        Lab(name)
    assert str(caught.value).startswith(f"{name!r}: there is no such file; check its name")


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """root may read everything: for the time being, be nobody."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        if user == 0:
            os.seteuid(0)


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    path.chmod(0)
    with as_an_ordinary_user(), pytest.raises(TopologyError) as caught:
        Lab(path)
    wanted = f"{path}: it cannot be read (Permission denied); check its name and permissions."
    assert str(caught.value) == wanted


def test_ten_thousand_hosts_are_refused_at_once(tmp_path: Path) -> None:
    hosts = "".join(
        f'[nodes.c{number}]\nrole = "client"\naddresses = ["10.1.{number // 250}.{number % 250 + 1}"]\n'
        for number in range(10_000)
    )
    links = '[links.front]\nsubnets = ["10.1.0.0/16"]\n[links.back]\nsubnets = ["10.2.0.0/16"]\n'
    path = written(tmp_path, links + hosts)
    started = time.monotonic()
    message = refused(path, tmp_path)
    assert time.monotonic() - started < 2.0
    assert message == "nodes: 10,000 nodes are more than one machine carries; use at most 1,000."


ODD = ("0", "-1", "1.5", "true", '""', '"x"', "[]", "[[]]", "{}", "{ x = {} }", "[1, 'x', {}]", "12:00:00")
FITTING = {
    'name = "three hosts"': {'"x"'},
    'name = "dns"': {'""', '"x"'},
    "backend_port = 53": {"0"},
}


def test_every_value_of_every_other_kind(tmp_path: Path) -> None:
    lines = {line for line in GOOD.splitlines() if " = " in line}
    assert len(lines) == 15
    assert FITTING.keys() < lines
    for line in sorted(lines):
        for odd in ODD:
            if odd not in FITTING.get(line, ()):
                key = line.partition(" = ")[0]
                refused(written(tmp_path, GOOD.replace(line, f"{key} = {odd}", 1)), tmp_path)


def test_damaged_files_give_a_lesson_or_a_lab_but_never_anything_else(tmp_path: Path) -> None:
    chance = random.Random(11)
    good = GOOD.encode()
    lessons = 0
    for _ in range(300):
        damaged = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(damaged))
            damaged[at : at + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 3))
        path = written(tmp_path, bytes(damaged))
        with suppress(Exception):
            Lab(path)
            continue
        with pytest.raises(TopologyError) as caught:
            Lab(path)
        lesson(caught.value, path)
        lessons += 1
    assert lessons > 250
