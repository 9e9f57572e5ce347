"""Every difference that is told is one, and docs/runtimes.md tells the same."""

from pathlib import Path

import pytest

from .conftest import Pair
from .differences import DIFFERENCES, Difference

DOCS = Path(__file__).parents[2] / "docs" / "runtimes.md"


@pytest.mark.needs("netns", "docker")
@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_a_difference(pair: Pair, difference: Difference) -> None:
    for kind, seen in pair.each(lambda lab, _: difference.observe(lab)).items():
        assert seen == difference.values[kind.split()[0]], kind


def test_the_docs_have_them_all() -> None:
    _, told = DOCS.read_text(encoding="utf-8").split("## The same lab on both\n")
    rows = [line for line in told.splitlines() if line.startswith("| ")]
    wanted = [f"| {one.what} | {one.words['netns']} | {one.words['docker']} | {one.why} |" for one in DIFFERENCES]
    assert rows[1:] == wanted  # below the head
