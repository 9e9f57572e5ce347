from xml.etree import ElementTree

import pandas as pd
import pytest

from labkit.views.tables import cell_text, change_text, html_table, visibility_table

from .captures import VISIBLE, l4_capture


def rows(html):
    """The table's cells as text, head first."""
    root = ElementTree.fromstring(f"<x>{html}</x>")
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (float("nan"), ""),
        (pd.NaT, ""),
        (pd.NA, ""),
        (True, "yes"),
        (False, "no"),
        (0.1234567891, "0.123457"),
        (7, "7"),
        ("a\x1bb", "a\\x1bb"),
        (("ip.dst", "tcp.dport"), "ip.dst, tcp.dport"),
        ({"ip.ttl": (64, 63)}, "ip.ttl: 64, 63"),
        (pd.Timestamp("2026-01-01 00:00:01.5"), "2026-01-01 00:00:01.500000"),
    ],
)
def test_a_value_is_one_line(value, shown):
    assert cell_text(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [((64, 63), "64 → 63"), (["a", "b"], "a → b"), (None, ""), (False, ""), (True, "yes"), ("a → b", "a → b")],
)
def test_a_rewrite_reads_before_and_after(value, shown):
    assert change_text(value) == shown


def test_every_state_has_a_sign_and_its_words():
    table = visibility_table(l4_capture().visibility())
    head, *body = rows(table.html)
    assert head == ["layer", "field", "alice", "lb:front", "lb:back", "api1", "the balancer", "rewritten"]
    assert [row[6] for row in body] == ["read and used for the decision", "read", "in clear, not read", "encrypted"]
    assert table.html.count("<svg") == 4
    assert "font-weight:700" in table.html
    assert "repeating-linear-gradient" in table.html  # hatched: encrypted
    assert body[0][7] == "10.0.1.10 → 10.0.2.11"
    assert table.html.count("text-decoration:underline") == 10  # two rewritten rows of five cells
    assert "ip.ttl       64" in table.text
    assert "64 → 63" in table.text


def test_a_state_of_other_words_keeps_them():
    frame = pd.DataFrame([("x", "<b>", *["<script>"] * 4, "half seen", None)], columns=list(VISIBLE))
    table = visibility_table(frame, "t")
    assert rows(table.html)[1][1:7] == ["<b>", *["<script>"] * 4, "?half seen"]
    assert "<script" not in table.html


def test_a_frame_is_shown_escaped_and_says_what_it_leaves_out():
    table = html_table(pd.DataFrame({"n": range(30), "<x>": ["\u202e"] * 30}), "Rows", limit=10)
    assert rows(table.html.partition("<p>")[0])[:2] == [["n", "<x>"], ["0", "\\u202e"]]
    assert "20 more rows are not shown." in table.html
    assert table.text.splitlines()[0] == "Rows"
    assert table.text.splitlines()[-1] == "20 more rows are not shown."
    assert html_table(pd.DataFrame({"n": []})).text == "n"
