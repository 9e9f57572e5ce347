"""Settings of the balancer's namespace: set where they are, named where they are not."""

from pathlib import Path

import pytest

from labkit.balancer.nftables.sysctls import SYSCTLS, apply
from labkit.errors import EngineError


def tree(root: Path, leave_out: str = "") -> Path:
    for name, _, _ in SYSCTLS:
        if leave_out not in name or not leave_out:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("7\n")
    return root


def test_all_are_set(tmp_path: Path) -> None:
    assert apply(tree(tmp_path)) == []
    assert [(tmp_path / name).read_text().strip() for name, _, _ in SYSCTLS] == [value for _, value, _ in SYSCTLS]


def test_what_a_kernel_has_not_is_named(tmp_path: Path) -> None:
    assert apply(tree(tmp_path, "ipv6")) == ["net/ipv6/conf/all/forwarding: No such file or directory"]


def test_a_setting_that_is_right_already_is_not_written(tmp_path: Path) -> None:
    forward = tree(tmp_path) / "net/ipv4/ip_forward"
    forward.write_text("1\n")
    apply(tmp_path)
    assert forward.read_text() == "1\n"  # written, it would be without the newline


def test_without_forwarding_there_is_no_engine(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"lb cannot forward packets: net/ipv4/ip_forward .*No such file"):
        apply(tree(tmp_path, "ip_forward"))
