"""A scanner's opinion of the TLS at the VIP: testssl.sh, run by a client of the lab. About a minute."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from labkit import Lab, Tls

pytestmark = [pytest.mark.needs("netns", "testssl"), pytest.mark.slow]

# Protocols, categories of ciphers, forward secrecy, the server's preferences and defaults, vulnerabilities.
TESTS = ("-p", "-s", "-f", "-P", "-S", "-U")
QUIET = ("--color", "0", "--warnings", "off", "--nodns", "min", "--quiet")
OF_A_PRIVATE_CA = {"cert_revocation"}  # it publishes no list of what it has revoked
NOT_TO_BE_TRIED = {"sessionresumption_ticket"}  # no session is resumed, which the scanner calls a problem


def scanned(trust: str, address: str, url: str, options: tuple[str, ...]) -> list[dict[str, Any]]:
    """What the scanner finds; runs in a host."""
    import json
    import os
    import subprocess
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        authority, found = Path(folder, "ca.pem"), Path(folder, "found.json")
        authority.write_text(trust)
        command = ["testssl", *options, "--add-ca", str(authority), "--jsonfile", str(found), "--ip", address, url]
        alone = os.environ | {"NO_ENGINE": "true"}  # whether its own openssl has GOST ciphers is no finding of ours
        done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=alone)
        if not found.exists():
            raise RuntimeError(done.stdout + done.stderr)
        findings: list[dict[str, Any]] = json.loads(found.read_text())
    return findings


def test_a_scanner_finds_nothing_but_that_the_ca_is_private(lab: Lab, l7: Callable[..., None]) -> None:
    l7(tls=Tls(names=["shop.test"]))
    trust = lab._authority.trust()
    found = lab.alice.call(scanned, trust, lab.vip, "https://shop.test/", (*TESTS, *QUIET), timeout=420)
    told = {each["id"]: each["finding"] for each in found}
    assert {name: told[name] for name in ("SSLv2", "SSLv3", "TLS1", "TLS1_1")} == dict.fromkeys(
        ("SSLv2", "SSLv3", "TLS1", "TLS1_1"), "not offered"
    )
    assert told["TLS1_2"].startswith("offered")
    assert told["TLS1_3"].startswith("offered")
    assert told["cert_chain_of_trust"].startswith("passed")
    assert told["cert_trust"].startswith("Ok via SAN")
    graver = {each["id"]: each for each in found if each["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL")}
    assert graver.keys() <= OF_A_PRIVATE_CA, json.dumps(graver, indent=1)
    unsure = {each["id"]: each for each in found if each["severity"] in ("WARN", "FATAL")}
    assert unsure.keys() <= NOT_TO_BE_TRIED, json.dumps(unsure, indent=1)
