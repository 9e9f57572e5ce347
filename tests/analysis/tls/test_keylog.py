import random

import pytest

from labkit.analysis.tls.keylog import CLIENT_TRAFFIC, MASTER, KeyLog

RANDOM, SECRET = bytes(range(32)), bytes(range(48))
LINE = f"{MASTER} {RANDOM.hex()} {SECRET.hex()}"


@pytest.mark.parametrize(
    "line",
    [
        LINE,
        f"{MASTER} {RANDOM.hex().upper()} {SECRET.hex().upper()}",
        f"  {MASTER}\t{RANDOM.hex()}  {SECRET.hex()}\r\n",
    ],
)
def test_a_secret_is_found_by_the_clients_random(line: str) -> None:
    assert KeyLog.of([line]).of_random(RANDOM) == {MASTER: SECRET}
    assert KeyLog.of([line]).of_random(bytes(32)) == {}


@pytest.mark.parametrize(
    "line",
    [
        "", " ", "# SSL/TLS secrets log file", MASTER, f"{MASTER} {RANDOM.hex()}", f"{LINE} more",
        f"RSA {RANDOM.hex()[:16]} {SECRET.hex()}", f"EXPORTER_SECRET {RANDOM.hex()} {SECRET.hex()}",
        f"client_random {RANDOM.hex()} {SECRET.hex()}", f"{LINE[:-1]}", f"{LINE[:-1]}g", f"{MASTER} ünï {SECRET.hex()}",
    ],
)  # fmt: skip
def test_any_other_line_is_left_out(line: str) -> None:
    assert KeyLog.of([line]).secrets == {}
    assert KeyLog.of([line, LINE, line]).secrets == {RANDOM: {MASTER: SECRET}}


def test_many_connections_in_any_order_and_the_last_word_counts() -> None:
    dice = random.Random(6)
    wanted: dict[bytes, dict[str, bytes]] = {}
    lines = []
    for _ in range(300):
        random_, label, secret = (
            bytes([dice.randrange(40)]) * 32,
            dice.choice((MASTER, CLIENT_TRAFFIC)),
            dice.randbytes(32),
        )
        wanted.setdefault(random_, {})[label] = secret
        lines.append(f"{label} {random_.hex()} {secret.hex()}")
    log = KeyLog.of(iter(lines))
    assert log.secrets == wanted
    assert all(log.of_random(one) == secrets for one, secrets in wanted.items())
