"""What ``labkit open`` prints: the whole story, of any file, with nothing in it that acts on the terminal."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from labkit import Capture, cli
from labkit.reading import read
from labkit.recording import Recording
from tests.analysis import ladders as made
from tests.analysis import wire as w

RECORDED = Path(__file__).parents[1] / "captures"


def printed(recording: Recording, width: int = 140) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as capture:
        read(Capture(recording), console)
    return capture.get()


def headings(text: str) -> list[str]:
    return [
        line.strip() for line in text.splitlines() if re.match(r"^(?!.*packet)[A-Z][a-z A-Z]+: [\d,]+\s*$|^What", line)
    ]


@pytest.mark.parametrize("mode", ["l4", "l7"])
def test_the_whole_story(mode: str) -> None:
    capture = Capture.load(RECORDED / f"{mode}.pcapng")
    text = printed(capture.recording)
    assert text.splitlines()[0] == capture.finding
    assert headings(text) == [
        "Vantage points: 8", f"Protocols: {len(capture.protocols())}", f"Connections: {len(capture.connections())}",
        *(["Requests: 40"] if mode == "l7" else []), "Decisions: 40", "What the balancer could see",
    ]  # fmt: skip
    assert capture.ladder().text in text
    assert re.search(r"http.target .*read and used" if mode == "l7" else r"http.target .*in clear, not read", text)
    assert re.search(r"ip.dst .* 10.0.1.10 → 10.0.2.11" if mode == "l4" else r"/api/\* +│ api1", text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: w.Wire().recording(),
        lambda: made.without_events(w.l4_wire(), "alice"),
        lambda: made.datagrams().recording(),
        lambda: made.six().recording(),
    ],
)
def test_any_capture_is_told(make: Callable[[], Recording]) -> None:
    text = printed(make(), width=60)
    assert "Vantage points" in text
    assert "Requests" not in text


def test_hostile_content_does_not_act() -> None:
    wire, talk = made.opened()
    talk.send(0, "PA", "GET /\x1b[31m[bold]\u202e HTTP/1.1\r\nHost: \x1b]0;x\x07\r\n\r\n".encode())
    text = printed(wire.recording())
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e]", text)
    assert "[bold]" in text


def test_the_page_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "deep" / "page.html"
    assert cli.main(["open", str(RECORDED / "l4.pcapng"), "--html", str(target)]) == 0
    assert f"wrote {target}" in capsys.readouterr().out
    assert target.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_page_never_takes_the_place_of_its_capture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = (RECORDED / "l4.pcapng").read_bytes()
    (file := tmp_path / "l4.pcapng").write_bytes(kept)
    (link := tmp_path / "l4.html").symlink_to(file)
    for page in (file, link):
        assert cli.main(["open", str(file), "--html", str(page)]) == 1
        assert "would take the place of the capture" in capsys.readouterr().err
    assert file.read_bytes() == kept


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").touch()
    assert cli.main(["open", str(RECORDED / "l4.pcapng"), "--html", str(tmp_path / "taken" / "page.html")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "Choose another place with --html." in error


@pytest.mark.needs("editcap")
@pytest.mark.parametrize("kind", ["pcap", "nsecpcap", "pcapng"])
def test_files_of_other_programs(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    path, page = tmp_path / f"foreign.{kind}", tmp_path / "page.html"
    command = ["editcap", "-F", kind, "-s", "70", str(RECORDED / "l4.pcapng"), str(path)]
    subprocess.run(command, capture_output=True, check=True)
    assert cli.main(["open", str(path), "--html", str(page)]) == 0
    assert "connection" in capsys.readouterr().out
    assert "Packet by packet" in page.read_text(encoding="utf-8")
