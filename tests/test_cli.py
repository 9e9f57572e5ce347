"""The ``labkit`` command as a person meets it: what it prints, its exit status, and that errors are one line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labkit import Capture, __version__, cli
from labkit.errors import LabError
from labkit.runtime.doctor import Finding

RECORDED = Path(__file__).parents[1] / "captures" / "l7.pcapng"
LB = ("lb:front", "lb:back")
BACKENDS = ("api1", "api2", "images1", "images2")


def labkit(*arguments: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "labkit", *arguments]
    # Not measured: a node that is ended while it writes its figures complains on the standard error looked at here.
    measuring = ("COVERAGE_", "COV_", "LABKIT_EXPOSE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(measuring)}
    environment |= {"COLUMNS": "160", **more}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One run of the demo, by the command: its figures, what it printed, and where."""
    folder = tmp_path_factory.mktemp("a demo")
    done = labkit("demo", "--json", "figures.json", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    return SimpleNamespace(
        folder=folder, output=done.stdout, **json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    )


@pytest.mark.needs("netns")
def test_demo_figures(demo: Any) -> None:
    assert demo.runtime == "netns"
    assert demo.ready_seconds > 0
    assert demo.switch_seconds > 0
    assert demo.captures == {"l4": "out/l4.pcapng", "l7": "out/l7.pcapng"}
    l4, l7 = demo.modes["l4"], demo.modes["l7"]
    assert (l4["requests"], l4["answered"], l7["requests"], l7["answered"]) == (40, 40, 40, 40)
    assert l4["by_backend"] == dict.fromkeys(BACKENDS, 10)
    assert l7["by_backend"] == dict.fromkeys(BACKENDS, 10)
    assert l7["routes"] == {"/api/*": {"api1": 10, "api2": 10}, "/images/*": {"images1": 10, "images2": 10}}
    assert "routes" not in l4
    everywhere = {"alice": 20, "bob": 20, "lb:front": 40, "lb:back": 40, **dict.fromkeys(BACKENDS, 10)}
    assert l4["tcp_connections"] == everywhere
    assert l7["tcp_connections"] == everywhere
    assert (l4["same_connection"], l7["same_connection"]) == (True, False)
    assert set(l4["rewritten_fields"]) == {
        *("eth.dst", "eth.src", "ip.checksum", "ip.dst", "ip.src", "ip.ttl", "tcp.checksum"),
    }
    assert l7["rewritten_fields"] == []
    assert "ip.dst" in l4["balancer_reads"]
    assert not any(name.startswith("http") for name in l4["balancer_reads"])
    assert "http.target" in l7["balancer_reads"]
    for mode in (l4, l7):
        assert {counts["dropped"] for counts in mode["loss"].values()} == {0}
        # Two SYNs in each connection, and the beginnings of a request and of a reply.
        assert {vantage: counts["captured"] for vantage, counts in mode["loss"].items()} == {
            vantage: 4 * count for vantage, count in everywhere.items()
        }


@pytest.mark.needs("netns")
def test_demo_leaves_what_it_says(demo: Any) -> None:
    out = demo.folder / "out"
    assert sorted(path.name for path in out.iterdir()) == ["l4.pcapng", "l4.svg", "l7.pcapng", "l7.svg", "report.html"]
    for name in ("out/l4.pcapng", "out/l7.pcapng", "out/l4.svg", "out/l7.svg", "out/report.html", "figures.json"):
        assert f"wrote {name}\n" in demo.output
    assert "✗" not in demo.output
    report = (out / "report.html").read_text(encoding="utf-8")
    for figure in ("L4: 40 requests, 40 connections", "L7: 40 requests", "8 of 8 claims hold", "7 of 7 claims hold"):
        assert figure in report
    assert "src=" not in report
    assert "<script" not in report
    for mode in ("l4", "l7"):
        loaded = Capture.load(out / f"{mode}.pcapng")
        assert f"{loaded.loss()['captured'].sum():,} packets captured, 0 dropped" in demo.output


@pytest.mark.needs("netns")
def test_open_sums_a_capture_up(demo: Any) -> None:
    done = labkit("open", "out/l4.pcapng", folder=demo.folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Connections: 40" in done.stdout
    assert "20 more are not shown." in done.stdout
    assert all(vantage in done.stdout for vantage in LB)


@pytest.mark.needs("netns", "tshark")
@pytest.mark.parametrize("mode", ["l4", "l7"])
def test_tshark_counts_the_same_connections(demo: Any, mode: str) -> None:
    command = ["tshark", "-r", f"out/{mode}.pcapng", "-Y", "tcp.flags.syn==1 && tcp.flags.ack==0", "-T", "fields"]
    fields = ["-e", "frame.interface_name", "-e", "ip.src", "-e", "tcp.srcport", "-e", "ip.dst"]
    done = subprocess.run([*command, *fields], cwd=demo.folder, capture_output=True, text=True, check=True)
    seen = [line.split("\t")[0] for line in {*done.stdout.splitlines()}]
    assert {vantage: seen.count(vantage) for vantage in {*seen}} == demo.modes[mode]["tcp_connections"]


@pytest.mark.needs("netns")
def test_demo_fails_when_the_switch_leaves_l7_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from labkit.balancer.balancer import Balancer

    monkeypatch.setattr(Balancer, "l7", lambda self: None)
    assert cli.main(["demo", "--out", str(tmp_path / "out"), "--json", str(tmp_path / "figures.json")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("labkit: L7 claim failed: ") for line in lines)
    assert any(
        "So every request reaches the pool of its path. Found: 20 of 40 went to a wrong pool" in x for x in lines
    )
    assert json.loads((tmp_path / "figures.json").read_text())["modes"]["l7"]["same_connection"] is True


@pytest.mark.needs("netns")
def test_demo_into_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    done = labkit("demo", folder=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Choose another place with --out." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["open", "absent.pcapng"], "absent.pcapng"),
        (["open", "notes.txt"], "notes.txt"),
        (["demo", "--runtime", "cloud"], "There is no runtime 'cloud'"),
    ],
)
def test_errors_are_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "notes.txt").write_text("not a capture")
    done = labkit(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout.strip(), done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("labkit: ")
    assert message in done.stderr


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("labkit.runtime.clean", interrupted)
    assert cli.main(["clean"]) == 130
    assert capsys.readouterr().err == "labkit: interrupted\n"


@pytest.mark.parametrize(
    ("left", "printed"),
    [([], "nothing was left behind\n"), (["ended lab 7 of dead owner 3"], "ended lab 7 of dead owner 3\n")],
)
def test_clean(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], left: list[str], printed: str
) -> None:
    monkeypatch.setattr("labkit.runtime.clean", lambda: left)
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == printed


PLAIN = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor"],
        pytest.param(["demo"], marks=pytest.mark.needs("netns")),
        ["open", str(RECORDED)],
        ["clean"],
        ["--help"],
        ["open", "\udce9.pcapng"],
    ],
)
def test_every_command_prints_where_only_ascii_can_be_printed(tmp_path: Path, arguments: list[str]) -> None:
    done = labkit(*arguments, folder=tmp_path, **PLAIN)
    assert "Traceback" not in done.stderr
    assert (done.stdout + done.stderr).isascii()
    assert done.stdout or done.stderr.startswith("labkit: ")


@pytest.mark.parametrize("works", [True, False])
def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], works: bool) -> None:
    command = "sudo sysctl -w " + "a.long.setting." * 12 + "x=0"
    why = "" if works else command
    findings = [
        Finding("Python", True, "3.13.0"),
        Finding("user namespaces", works, "it says [so/far] and [/so on]", why),
        Finding("netns runtime", works, "as above", why),
    ]
    monkeypatch.setattr("labkit.runtime.doctor.report", lambda: findings)
    assert cli.main(["doctor"]) == (0 if works else 1)
    output = capsys.readouterr().out
    assert output.count("✗") == (0 if works else 2)
    assert "it says [so/far] and [/so on]" in output, "brackets are no markup"
    # Said once, on a line of its own that can be copied.
    assert output.splitlines().count(f"    {command}") == (0 if works else 1)


@pytest.mark.parametrize(("user", "more"), [(0, ["--allow-root"]), (1000, [])])
def test_notebooks_are_opened_in_jupyterlab(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, more: list[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.append([program, *command]))
    monkeypatch.setattr(cli, "NOTEBOOKS", tmp_path)
    cli.main(["notebooks", "--", "--no-browser"])
    jupyter = [sys.executable, sys.executable, "-m", "jupyter", "lab"]
    assert started == [[*jupyter, f"--notebook-dir={tmp_path}", *more, "--no-browser"]]


def test_notebooks_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(cli, "NOTEBOOKS", tmp_path / "absent")
    assert cli.main(["notebooks"]) == 1
    assert "Run labkit from a clone of its repository." in capsys.readouterr().err


def test_version_and_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"labkit {__version__}\n"
    with pytest.raises(SystemExit, match="2"):
        cli.main([])


def test_the_command_is_light() -> None:
    code = "import sys, labkit.cli; print({'numpy', 'pandas', 'scapy', 'mitmproxy', 'rich'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    ("raised", "printed"),
    [
        ("No. Do this instead.", "labkit: No. Do this instead.\n"),
        ("It died: Traceback\n  File x\nValueError: y\n", "labkit: It died: Traceback … ValueError: y\n"),
        ("", "labkit: LabError\n"),
    ],
)
def test_what_labkit_raises_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], raised: str, printed: str
) -> None:
    def refused() -> list[str]:
        raise LabError(raised)

    monkeypatch.setattr("labkit.runtime.clean", refused)
    assert cli.main(["clean"]) == 1
    assert capsys.readouterr() == ("", printed)
