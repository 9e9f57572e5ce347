"""Output that an encoding cannot carry is degraded."""

import io
import sys

import pytest

from labkit.terminal import never_fail


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_characters_are_written_plainer(monkeypatch: pytest.MonkeyPatch, errors: str) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", errors=errors))
    never_fail()
    print("✓ ✗ wait… \u2839 café \udc80")
    sys.stdout.flush()
    assert written.getvalue() == b"+ x wait... . caf\\xe9 \\udc80\n"


def test_what_can_be_written_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="utf-8"))
    never_fail()
    print("✓ café")
    sys.stdout.flush()
    assert written.getvalue().decode() == "✓ café\n"


def test_streams_of_other_kinds_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", None)
    never_fail()
    print("✓")
    assert sys.stdout.getvalue() == "✓\n"  # type: ignore[attr-defined]
