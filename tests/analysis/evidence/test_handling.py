import pytest

from labkit.analysis.evidence.handling import Evidence, forwarded, rules_at, terminated


@pytest.mark.parametrize(
    ("name", "encrypted", "state"),
    [
        ("ip.dst", False, "read and used"), ("ip.src", False, "read"), ("http.target", False, "in clear, not read"),
        ("ip.dst", True, "encrypted"),
    ],
)  # fmt: skip
def test_the_four_states(name: str, encrypted: bool, state: str) -> None:
    found = forwarded({"read": ["ip.dst"]}, {"reads": ["ip.src", "http.target"]}, ["ip.dst", "ip.src"])
    assert found.state(name, encrypted=encrypted) == state


def test_what_the_packet_did_not_have_cannot_have_been_read() -> None:
    found = forwarded({"read": ["http.target"]}, {"reads": ["http.target"]}, ["ip.dst"])
    assert found.state("http.target", encrypted=False) == "in clear, not read"


def test_without_any_record_nothing_is_claimed() -> None:
    assert forwarded(None, None, ["ip.dst"]).state("ip.dst", encrypted=False) is None
    assert Evidence().state("ip.dst", encrypted=True) == "encrypted"


def test_a_header_has_two_names() -> None:
    found = terminated({"read": ["http.header.cookie"], "held": ["http.header.host"]}, None)
    assert (found.state("http.cookie", encrypted=False), found.state("http.host", encrypted=False)) == (
        "read and used",
        "read",
    )


def test_a_head_that_was_parsed_whole_has_every_field_read_whether_on_record_or_not() -> None:
    found = terminated({"read": ["http.target"], "held": ["http.header.accept", "http.header.*"]}, None)
    for name in ("http.header.x-odd", "http.cookie", "http.host", "http.header.accept"):
        assert found.state(name, encrypted=False) == "read"
        assert found.state(name, encrypted=True) == "encrypted"
    assert found.state("http.body", encrypted=False) == "in clear, not read"


def test_rules_count_from_when_they_were_loaded() -> None:
    loads = [{"time_ns": 5, "reads": ["a"]}, {"time_ns": 9, "reads": ["b"]}]
    assert [rules_at(loads, at) for at in (4, 5, 8, 9)] == [None, loads[0], loads[0], loads[1]]
