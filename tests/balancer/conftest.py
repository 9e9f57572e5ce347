"""A lab a module for the tests that operate its balancer and put it back."""

from collections.abc import Iterator

import pytest

from labkit import Lab

from .operated import all_in


@pytest.fixture(scope="module")
def operated() -> Iterator[Lab]:
    with Lab() as lab:
        yield lab


@pytest.fixture
def lab(operated: Lab) -> Iterator[Lab]:
    """The lab as it began: at L4, every backend in rotation; and so again afterwards."""
    all_in(operated)
    yield operated
    all_in(operated)
