import ipaddress
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from labkit.analysis.packets.addresses import Addresses


def test_a_number_for_each_address_and_its_text() -> None:
    addresses = Addresses()
    first = addresses.four(np.array([0x0A000001, 0x0A000002, -1, 0x0A000001, 0]))
    assert first.tolist() == [1, 2, -1, 1, 0]  # those of one call in order of size
    assert addresses.names == ["0.0.0.0", "10.0.0.1", "10.0.0.2"]
    assert addresses.four(np.array([0x0A000003, 0x0A000002])).tolist() == [3, 2]


def test_versions_are_apart_and_ipv6_has_all_its_bits() -> None:
    addresses = Addresses()
    parts = np.array([[0, 0, 0, 1], [0xFD000010, 0, 0, 1], [0, 0, 0xFFFF, 0x0A000001], [0, 0, 0, -1]]).T
    six, four = addresses.six(*parts), addresses.four(np.array([1, 0x0A000001]))
    assert [addresses.names[number] for number in six[:3]] == ["::1", "fd00:10::1", "::ffff:10.0.0.1"]
    assert [addresses.names[number] for number in four] == ["0.0.0.1", "10.0.0.1"]
    assert (six[3], len(set(six[:3]) | set(four))) == (-1, 5)


def test_more_addresses_than_slots_and_from_threads() -> None:
    generator = np.random.Generator(np.random.PCG64(4))
    every = generator.integers(0, 2**32, 60_000)
    addresses = Addresses()
    with ThreadPoolExecutor(4) as threads:
        pieces = list(threads.map(addresses.four, np.array_split(np.concatenate([every, every[::-1]]), 40)))
    said = [addresses.names[number] for number in np.concatenate(pieces)]
    assert said == [str(ipaddress.IPv4Address(int(value))) for value in np.concatenate([every, every[::-1]])]
    assert len(addresses.names) == len(set(addresses.names)) == len(set(every.tolist()))


def test_sums_are_those_of_the_16_bit_words() -> None:
    addresses = Addresses()
    addresses.four(np.array([0x0A0B0C0D]))
    addresses.six(*(np.array([part]) for part in (0xFFFFFFFF, 1, 2, 3)))
    assert addresses.sums == [(0x0A0B + 0x0C0D) % 0xFFFF, (0xFFFF * 2 + 1 + 2 + 3) % 0xFFFF]
