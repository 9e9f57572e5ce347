"""Other paths in place of those that were asked for."""

import re

import pytest

from labkit.balancer.l7.patterns import Regex
from labkit.balancer.l7.rewriting import rewritten, template_refusal


@pytest.mark.parametrize(
    ("template", "path", "target", "made"),
    [
        ("/v2/*", "/v1/*", "/v1/a/b?c=d", "/v2/a/b?c=d"),
        ("/v2/*", "/v1/*", "/v1/", "/v2/"),
        ("/v2/*", "/v1/*", "/x/../v1/%61%2f?*", "/v2/a%2F?*"),
        ("/*/*", "/*/x/*", "/1/x/2/x/3", "/1/2/x/3"),
        ("/x", "*", "/anything?q", "/x?q"),
        ("/x?own=1", "*", "/anything?q", "/x?own=1"),
        (r"/\2/\1", re.compile(r"/(\w+)/(\w+)"), "/a/b?q", "/b/a?q"),
        (r"/\1", re.compile(r"/a(b)?"), "/a", "/"),
        (r"/\0", re.compile(r"/A", re.IGNORECASE), "/a", "//a"),
        ("/v2/*", "/%76%31/*", "/v1/a", "/v2/a"),
    ],
)
def test_templates_are_filled(template: str, path: "str | re.Pattern[str]", target: str, made: str) -> None:
    assert rewritten(template, path if isinstance(path, str) else Regex.of(path), target) == made


@pytest.mark.parametrize(
    ("template", "path", "reason"),
    [
        ("/*/*", "/*", "more *"),
        (r"/\1", "/*", "no regular expression"),
        ("/*", re.compile("/x"), "is a regular expression"),
        (r"/\1", re.compile("/x"), "no group 1"),
        (r"/\3", re.compile("(?i)/(x)(?P<two>y)", re.DOTALL), "no group 3"),
        ("/a\\b", "/x", "%5C"),
        ("/" + "*" * 10, "/" + "*" * 10, "more than 9"),
        (r"/\2\1", re.compile("(?i)/(x)(?P<two>y)", re.DOTALL), None),
    ],
)
def test_what_cannot_be_filled_is_refused(template: str, path: "str | re.Pattern[str]", reason: str | None) -> None:
    refusal = template_refusal(template, path if isinstance(path, str) else Regex.of(path))
    assert refusal is None if reason is None else reason in (refusal or "")
