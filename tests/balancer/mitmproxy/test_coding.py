"""Content codings undone: never more than may come out, never a broken one taken for whole."""

import gzip
import zlib

import brotli
import pytest
import zstandard

from labkit.balancer.mitmproxy.coding import TooLong, decoded

CODED = {
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:3]) + gzip.compress(body[3:]),
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
    "zstd, identity": lambda body: zstandard.compress(body[:99]) + zstandard.compress(body[99:]),
    "identity": bytes,
    "GZip , identity": gzip.compress,
    "gzip,br": lambda body: brotli.compress(gzip.compress(body)),
    "": bytes,
}


@pytest.mark.parametrize("coding", CODED)
def test_what_was_coded_comes_out(coding):
    body = b"a picture of a cat " * 50
    assert decoded(coding, CODED[coding](body), len(body)) == body
    assert decoded(coding, b"", 0) == b""


def test_deflate_without_its_frame():
    machine = zlib.compressobj(wbits=-15)
    assert decoded("deflate", machine.compress(b"cat") + machine.flush(), 3) == b"cat"


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "gzip,br"])
def test_no_more_comes_out_than_may(coding):
    with pytest.raises(TooLong, match="more than 1000 bytes"):
        decoded(coding, CODED[coding](bytes(4 << 20)), 1000)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"no such thing" + data])
def test_what_is_broken_is_refused(coding, damage):
    with pytest.raises(ValueError, match=f"its content coding {coding} is broken"):
        decoded(coding, damage(CODED[coding](b"a picture of a cat " * 50)), 1 << 20)


def test_an_unknown_coding_is_named():
    with pytest.raises(ValueError, match="the content coding compress is not known here"):
        decoded("compress", b"x", 10)
