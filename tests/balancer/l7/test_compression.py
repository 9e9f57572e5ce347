"""Which clients take gzip, as a table."""

import pytest

from labkit.balancer.l7.compression import accepts_gzip


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", True),
        ("x-gzip", True),
        ("deflate, GZIP;q=0.5", True),
        ("*", True),
        ("*;q=0, gzip", True),
        ("gzip;q=0, *", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0.001", True),
        ("gzip;q=1.000", True),
        ("gzip;q=1.2.3", False),
        ("gzip;q=1..2", False),
        ("gzip;q=", False),
        ("gzip;", False),
        ("gzip;q=2", False),
        ("gzip;q=NaN", False),
        ("identity", False),
        ("", False),
        (",;,=", False),
    ],
)
def test_gzip_is_taken_with_a_quality_above_0_by_name_before_the_star(accepted: str, taken: bool) -> None:
    assert accepts_gzip(accepted) is taken
