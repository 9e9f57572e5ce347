from xml.etree import ElementTree

import pytest

from labkit.views.picture import Picture, Table
from labkit.views.svg import clipped, document, element, inert, polyline, render, text, text_width, wrapped

from .parsing import parsed, words


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eevil", "\\u202eevil"),
        ("a\u200bb", "a\\u200bb"),
        ("nul\x00", "nul\\x00"),
        ("\ud800", "\\ud800"),
        ("\uffff", "\\uffff"),
        ("\"&'", "\"&'"),
        ("two\nlines", "two\\nlines"),
        ("é 日本 ✓", "é 日本 ✓"),
    ],
)
def test_what_comes_from_outside_is_inert(hostile, shown):
    svg = document(10, 10, text(1, 2, hostile, fill=hostile), title=hostile, description=hostile, font="sans")
    assert words(svg) == [shown]
    assert "<script" not in svg
    assert "\x1b" not in svg
    assert parsed(svg).get("aria-label") == shown


def test_an_element_keeps_the_order_and_turns_names_into_svg_s():
    made = element("a", "x<y", [element("b")], class_="k", stroke_width=1.5, x=0.0, y=-0.001, z=12.345, left=None)
    assert render(made) == '<a class="k" stroke-width="1.5" x="0" y="0" z="12.35">x&lt;y<b/></a>'


def test_numbers_are_short():
    assert polyline([(0.1 + 0.2, 100), (1 / 3, -0.0)], close=True) == "M0.3 100 L0.33 0Z"


def test_ids_follow_from_the_words_alone():
    def ids(title):
        svg = document(10, 10, title=title, description="d", font="sans")
        return {node.get("id") for node in ElementTree.fromstring(svg).iter() if node.get("id")}

    assert ids("one") == ids("one")
    assert ids("one").isdisjoint(ids("two"))


def test_long_words_are_clipped_to_their_room_and_short_ones_are_not():
    assert clipped("short", 100, 12) == "short"
    cut = clipped("a-very-long-name-indeed" * 3, 100, 12)
    assert cut.endswith("…")
    assert text_width(cut, 12) <= 100
    assert text_width("日", 10) > text_width("i", 10, mono=True) > text_width("i", 10)


def test_wrapping_keeps_every_word():
    lines = wrapped("word " * 40, 200, 12)
    assert len(lines) > 3
    assert " ".join(lines).split() == ["word"] * 40
    assert wrapped("", 100, 12) == [""]
    assert inert("a\tb", lines=True) == "a\tb"


def test_a_picture_shows_itself_and_its_words_and_saves(tmp_path):
    picture = Picture("<svg/>", "in words", "title")
    assert picture._repr_mimebundle_() == {"image/svg+xml": "<svg/>", "text/plain": "in words"}
    assert repr(picture) == "in words"
    assert picture.save(tmp_path / "new" / "a.svg").read_text(encoding="utf-8") == "<svg/>"
    assert Table("<p/>", "in words", "t")._repr_mimebundle_() == {"text/html": "<p/>", "text/plain": "in words"}
    assert repr(Table("<p/>", "in words", "t")) == "in words"
