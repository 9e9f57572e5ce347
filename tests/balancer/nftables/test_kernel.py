"""Transactions and dumps with the real kernel, in a host of its own: what is refused, and how it is said."""

import pytest

from labkit.runtime import Runtime

pytestmark = pytest.mark.needs("netns")
ATTEMPTS = "tests.balancer.nftables.attempts:"


def test_the_first_refused_message_is_named_and_nothing_is_changed(runtime: Runtime) -> None:
    error, before, after = runtime.nodes["bob"].call(f"{ATTEMPTS}jump_into_nothing")
    assert error.startswith("The kernel refuses rule 1 of chain c: No such file or directory (ENOENT")
    assert error.endswith("The rules that were in force stay in force.")
    assert before == after != ""


def test_a_refusal_of_the_whole_is_said_too(runtime: Runtime) -> None:
    error = runtime.nodes["bob"].call(f"{ATTEMPTS}without_rights")
    assert error.startswith("The kernel refuses the transaction: Operation not permitted (EPERM)")


def test_a_refused_dump_is_said(runtime: Runtime) -> None:
    assert runtime.nodes["bob"].call(f"{ATTEMPTS}list_a_set_that_is_not") == (
        "The kernel refuses the elements of a set: No such file or directory (ENOENT). "
        "The rules that were in force stay in force."
    )


def test_every_change_makes_a_new_generation(runtime: Runtime) -> None:
    first, same, second = runtime.nodes["bob"].call(f"{ATTEMPTS}generations")
    assert first == same
    assert second > first


def test_rules_that_change_under_the_reader_are_read_again_or_given_up(runtime: Runtime) -> None:
    tries, error = runtime.nodes["bob"].call(f"{ATTEMPTS}restless")
    assert tries == 50
    assert error.startswith("The rules changed during each of 50 attempts to read them")


def test_more_elements_than_one_message_holds(runtime: Runtime) -> None:
    assert runtime.nodes["bob"].call(f"{ATTEMPTS}many_backends", 1000) == [1000, True]


def test_more_rules_than_a_transaction_takes(runtime: Runtime) -> None:
    error = runtime.nodes["bob"].call(f"{ATTEMPTS}more_than_there_is_room_for")
    assert error.startswith("The kernel takes no ")
    assert error.endswith(
        " bytes of rules in one transaction (Message too long); "
        "forward fewer listeners or to fewer backends, or raise net.core.wmem_max."
    )
