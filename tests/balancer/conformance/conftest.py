"""One lab an engine and module; each test gives it a policy of its own."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from labkit import Lab
from labkit.balancer.plan import ENGINES

Ask = Callable[..., Any]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The engine under test."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A lab for the module, whatever the engine."""
    with Lab() as lab:
        yield lab


@pytest.fixture
def l7(lab: Lab, engine: str) -> Callable[..., None]:
    """``lab.balancer.l7`` on the engine under test."""
    return partial(lab.balancer.l7, engine=engine)
