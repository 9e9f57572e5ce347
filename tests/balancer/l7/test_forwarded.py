"""What backends are told of the client, and who is believed."""

import pytest

from labkit.balancer.l7.forwarded import Forwarded

SAID = [
    *(("x-forwarded-for", "6.6.6.6"), ("X-Forwarded-For", "7.7.7.7"), ("x-forwarded-proto", "https")),
    *(("X-Forwarded-Host", "evil"), ("Forwarded", "for=6.6.6.6"), ("x-a", "1")),
]


def told(forwarded: Forwarded, client: str) -> dict[str, str]:
    return dict(forwarded.made(SAID, client, "http", "lb"))


def test_nobody_is_believed_unless_he_is_trusted() -> None:
    assert told(Forwarded("both", trust=["10.0.1.0/28"]), "10.0.1.16") == {
        "x-a": "1",
        "X-Forwarded-For": "10.0.1.16",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "lb",
        "Forwarded": 'for=10.0.1.16;proto=http;host="lb"',
    }


def test_who_is_trusted_is_added_to() -> None:
    assert told(Forwarded("both", trust=["fd00::/64", "10.0.1.11"]), "fd00::11") == {
        "x-a": "1",
        "X-Forwarded-For": "6.6.6.6, 7.7.7.7, fd00::11",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
        "Forwarded": 'for=6.6.6.6, for="[fd00::11]";proto=http;host="lb"',
    }


@pytest.mark.parametrize(("style", "names"), [("x", {"X-Forwarded-For"}), ("rfc7239", {"Forwarded"})])
def test_each_style_takes_out_the_other(style: str, names: set[str]) -> None:
    assert set(told(Forwarded(style), "10.0.1.11")) & {"X-Forwarded-For", "Forwarded"} == names


@pytest.mark.parametrize(
    ("trust", "client", "trusted"),
    [
        (["10.0.1.11"], "10.0.1.11", True),
        (["10.0.1.11"], "10.0.1.12", False),
        (["10.0.1.8/30"], "10.0.1.11", True),
        (["::/0"], "10.0.1.11", False),
        (["0.0.0.0/0"], "fd00::1", False),
        (["fd00:0:0::0001"], "fd00::1", True),
    ],
)
def test_networks_are_of_one_family(trust: list[str], client: str, trusted: bool) -> None:
    assert Forwarded(trust=trust).trusts(client) is trusted
