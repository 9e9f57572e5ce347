"""Asking L7 for what only L4 has: one refusal each, with its reason and what there is instead."""

import pytest

from labkit import Lab
from labkit.errors import PolicyError

LAB = Lab()
ASKED = {
    "style": ("styles say how packets are passed on", "sees lb's address", "l4(style=...)"),
}


def refusal(name: str) -> str:
    with pytest.raises(PolicyError) as error:
        LAB.balancer.l7(**{name: "x"})  # type: ignore[arg-type]
    return str(error.value)


@pytest.mark.parametrize("name", ASKED)
def test_l7_says_what_it_does_instead(name: str) -> None:
    said = refusal(name)
    assert said.startswith(f"lab.balancer.l7() has no {name}")
    for words in ASKED[name]:
        assert words in said
    assert len(said) < 300


@pytest.mark.parametrize(("word", "meant"), [("algo", "algorithm"), ("scheduler", "algorithm"), ("weight", "weights")])
def test_other_words_are_put_right(word: str, meant: str) -> None:
    assert f"did you mean {meant!r}?" in refusal(word)


def test_what_is_said_of_tls_and_engines_is_what_they_do() -> None:
    assert "ECDHE with AES-GCM or ChaCha20-Poly1305" in refusal("cipher_suites")
    with pytest.raises(PolicyError, match=r'with style="proxy" Envoy relays TCP'):
        LAB.balancer.l4(engine="envoy")
    with pytest.raises(PolicyError, match=r"no backend speaks HTTP/3 .*The balancer does"):
        LAB.balancer.l4(http3=True)
