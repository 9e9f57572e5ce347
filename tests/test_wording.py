"""Wrong values in messages."""

from labkit.wording import encodable, near_miss, printable, short, shown


class Broken:
    def __repr__(self):
        raise RuntimeError


def test_what_is_shown_is_short_and_printable():
    assert [shown(value) for value in ("a\nb", 5, None, "\udc80")] == [r"'a\nb'", "5", "None", r"'\udc80'"]
    assert (shown(10**5000), shown(Broken())) == ("<int>", "<Broken>")
    assert len(shown("x" * 1000)) < 60
    assert (short("x" * 301), short("a\udc80")) == ("x" * 299 + "…", r"a\udc80")


def test_halves_of_characters():
    assert encodable("é😀")
    assert not encodable("a\udc80")
    assert printable("é\udc80") == r"é\udc80"


def test_near_misses():
    assert near_miss("backend", ["backends", "pool"]) == " (did you mean 'backends'?)"
    assert near_miss("colour", ["backends"]) == near_miss(5, ["backends"]) == near_miss("x" * 10**6, ["y"]) == ""
