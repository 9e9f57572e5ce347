"""Counts the skipped tests of a JUnit file by reason. Fails when one was skipped for want of a lab, or none ran."""

import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

FORBIDDEN = ("netns", "namespace", "runtime")


def main(path: str) -> int:
    if not Path(path).exists():
        print(f"{path} is missing: the tests did not run", file=sys.stderr)
        return 1
    cases = list(ElementTree.parse(path).iter("testcase"))
    reasons = Counter(skip.get("message") or "no reason given" for case in cases for skip in case.iter("skipped"))
    for reason, count in reasons.most_common():
        print(f"{count:4} skipped: {reason}")
    print(f"{len(cases)} tests, {reasons.total()} skipped")
    bad = [reason for reason in reasons if any(word in reason for word in FORBIDDEN)]
    for reason in bad:
        print(f"tests of real labs must not be skipped here: {reason}", file=sys.stderr)
    return 1 if bad or len(cases) == reasons.total() else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
