"""What a function's answer means."""

import numpy
import pytest

from labkit.balancer.l7.code import called, content, verdict


@pytest.mark.parametrize(("answer", "means"), [(True, True), (False, False), (None, False), (0, False), (7, True)])
def test_a_rule_answers_yes_or_no(answer, means):
    assert verdict(answer) is means


@pytest.mark.parametrize("answer", ["yes", "", b"", [], {}, 0.0])
def test_what_is_no_verdict_is_refused(answer):
    with pytest.raises(TypeError, match=f"it returned a {type(answer).__name__}: a rule answers with True or False"):
        verdict(answer)


def test_a_foreign_type_is_named_in_full():
    with pytest.raises(TypeError, match=r"it returned a numpy\.bool: a rule answers with True or False"):
        verdict(numpy.bool(True))


@pytest.mark.parametrize(
    ("answer", "means"), [(b"a", b"a"), (bytearray(b"a"), b"a"), ("\u00e4", b"\xc3\xa4"), ("", b""), (None, None)]
)
def test_a_transform_gives_a_body_or_none(answer, means):
    assert content(answer) == means


@pytest.mark.parametrize("answer", [7, True, ["a"], {"a": 1}])
def test_what_is_no_body_is_refused(answer):
    with pytest.raises(TypeError, match="a transform gives bytes, text, or None"):
        content(answer)


def test_things_without_a_name_are_called_by_their_kind():
    class Rule:
        def __call__(self, request):
            return True

    assert [called(each) for each in (Rule(), len, Rule)] == ["Rule", "len", "Rule"]
