"""Answers that are made smaller on their way, and those that are left as they are."""

import gzip
from collections.abc import Callable

import pytest

from labkit import Lab, Route

pytestmark = pytest.mark.needs("netns")

GZIP = {"accept-encoding": "br;q=0, gzip"}


@pytest.mark.parametrize(
    ("path", "headers", "smaller"),
    [
        ("/a-path-that-is-told-again-and-again", GZIP, True),
        ("/plain", {}, False),
        ("/plain", {"accept-encoding": "gzip;q=0"}, False),
        ("/bytes/5000", GZIP, False),  # no text
        ("/status/204", GZIP, False),
    ],
)
def test_text_goes_as_gzip_to_who_takes_it(
    lab: Lab, l7: Callable[..., None], path: str, headers: dict[str, str], smaller: bool
) -> None:
    l7(routes=[Route("*", pool="api")], compress=True)
    reply = lab.alice.get(f"http://lb{path}", headers={**headers, "x-padding": "a" * 400})
    assert (reply.headers.get("content-encoding") == "gzip") is smaller
    if smaller:
        assert b"x-padding" in gzip.decompress(reply.content)
        assert "accept-encoding" in reply.headers["vary"].lower()


def test_nothing_is_compressed_unasked(lab: Lab, l7: Callable[..., None]) -> None:
    l7(routes=[Route("*", pool="api")])
    reply = lab.alice.get("http://lb/", headers={**GZIP, "x-padding": "a" * 400})
    assert "content-encoding" not in reply.headers
    assert "HTTP/1.1 " in dict((name.lower(), value) for name, value in reply.received["headers"])["via"]
