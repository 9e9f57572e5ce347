"""The notes that say what a set was declared for: what is written is read back."""

from labkit.balancer.nftables.typeof import DATA, HOST_KEYS, declared, note, slots_note


def test_a_map_of_slots_is_declared_for_a_hashs_slot_and_a_mark():
    assert declared(slots_note(1021)) == "numgen inc mod 1021"
    assert declared(slots_note(1021), DATA) == "meta mark"


def test_fields_are_joined_and_numbers_alone_are_no_declaration():
    assert declared(note("ip saddr", "tcp sport")) == "ip saddr . tcp sport"
    assert declared(HOST_KEYS) == ""
