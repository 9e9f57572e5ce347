"""Asking L7 for what only L4 has: one refusal each, with its reason and what there is instead."""

from inspect import signature

import pytest

from labkit import Lab
from labkit.balancer.balancer import Balancer
from labkit.balancer.plan import plan_l4, plan_l7
from labkit.balancer.refusals import L4_TAKES, L7_TAKES
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


def test_the_planner_and_the_refusals_know_the_arguments_there_are() -> None:
    """The signature is written out three times: for who types it, for who plans, and for who is refused."""
    for asked, planned, named in ((Balancer.l4, plan_l4, L4_TAKES), (Balancer.l7, plan_l7, L7_TAKES)):
        public = {one.name: one.default for one in signature(asked).parameters.values() if one.name != "self"}
        pure = {one.name: one.default for one in signature(planned).parameters.values()}
        assert public == {name: default for name, default in pure.items() if name not in ("topology", "forwards")}
        assert tuple(public) == (*named, "unknown")
