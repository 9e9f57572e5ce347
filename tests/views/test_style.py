"""The picture of a style: both directions, what is rewritten, and the words that say the same."""

import pytest

from labkit.errors import PolicyError
from labkit.topology import default, direct_return
from labkit.views import style_diagram
from labkit.views.style import hops
from tests.test_styles import TABLE


@pytest.mark.parametrize("style", ["dnat", "full", "dsr"])
def test_it_shows_the_fields_that_docs_table_names(style: str) -> None:
    for way, direction in zip(hops(direct_return(), style), ("request", "answer"), strict=True):
        _, node, fields = TABLE[style, "TCP", "IPv4", direction]
        assert set(way[1].rewritten) == {field for field in fields if "checksum" not in field}
        assert way[1].source == node
        assert way[0].rewritten == ()


def test_full_nat_in_words_and_in_the_picture() -> None:
    picture = style_diagram(default(), "full")
    assert picture.text.splitlines() == [
        "Full NAT: lb rewrites destination and source; api1 answers lb and never sees alice's address",
        "alice → lb: src 10.0.1.11, dst 10.0.1.10",
        "lb → api1: src 10.0.2.10, dst 10.0.2.11; rewritten: eth.src, eth.dst, ip.ttl, ip.src, ip.dst",
        "api1 → lb: src 10.0.2.11, dst 10.0.2.10",
        "lb → alice: src 10.0.1.10, dst 10.0.1.11; rewritten: eth.src, eth.dst, ip.ttl, ip.src, ip.dst",
    ]
    assert picture.svg.count("underline") == 6
    assert "src 10.0.2.10" in picture.svg


def test_direct_return_goes_back_over_the_router() -> None:
    picture = style_diagram(direct_return(), "dsr")
    assert "api1 → gw: src 10.0.1.10, dst 10.0.1.11" in picture.text
    assert picture.svg.count("underline") == 2
    assert "over gw, past lb" in picture.title


def test_where_no_packet_passes_there_is_none_to_draw() -> None:
    with pytest.raises(PolicyError, match=r"no packet passes .* cap\.ladder\(\)"):
        style_diagram(default(), "proxy")


@pytest.mark.parametrize(("topology", "style"), [(default(), "dsr"), (default(), "proxy"), (default(), None)])
def test_what_there_is_not_is_refused(topology: object, style: object) -> None:
    with pytest.raises(PolicyError, match=r"direct_return\(\)|there are dnat, full, dsr"):
        style_diagram(topology, style)  # type: ignore[arg-type]
