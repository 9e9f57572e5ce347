"""Another path in place of the one that was asked for: templates, filled from what a route's path caught. Pure."""

import re

from labkit.balancer.l7.paths import filled, path_of, query_of, unescaped
from labkit.balancer.l7.patterns import Regex

_MOST_PIECES = 9  # as many as a substitution of RE2's can name
_REFERENCE = re.compile(r"\\(\d)")


def rewritten(template: str, path: str | Regex, target: str) -> str:
    """*template* filled for *target*, which *path* matches; the query is kept, unless the template has one."""
    query = query_of(target)
    made = _fill(template, path, path_of(target))
    return f"{made}?{query}" if query and "?" not in made else made


def template_refusal(template: str, path: str | Regex) -> str | None:
    """Why *template* cannot be filled from what *path* catches, or None."""
    if "\\" in _REFERENCE.sub("", template):
        return "\\ stands before the number of a group alone, as in \\1: write %5C for itself"
    if template.count("*") > _MOST_PIECES:
        return f"it has more than {_MOST_PIECES} *"
    references = [int(number) for number in _REFERENCE.findall(template)]
    if isinstance(path, Regex):
        if "*" in template:
            return "the path is a regular expression: what its groups caught is \\1, \\2, …, and not *"
        groups = path.count() if references else 0
        return f"the path has no group {max(references)}" if references and max(references) > groups else None
    if references:
        return "the path is no regular expression: what its * stood for is *, and not \\1"
    if template.count("*") > path.count("*"):
        return f"it has more * than the path {path!r}, and nothing to put there"
    return None


def _fill(template: str, path: str | Regex, asked: str) -> str:
    if isinstance(path, Regex):
        groups = path.groups(asked) or ()
        return _REFERENCE.sub(lambda found: groups[int(found[1])] or "", template)
    caught = iter(filled(unescaped(path), asked) or [])
    return re.sub(r"\*", lambda _: next(caught, ""), template)
