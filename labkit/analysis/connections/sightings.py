"""A *sighting*: one TCP or UDP conversation as one vantage point saw it, by its 5-tuple there.

A new SYN with another initial sequence number on a tuple whose conversation has ended begins another sighting
(RFC 9293 §3.6.1). Which sightings are the same connection is said by `merged`, from packets they share.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from labkit.analysis.packets.frames import MISSING, Bools, Ints, Words
from labkit.analysis.packets.icmp import Embedded
from labkit.analysis.packets.index import ACK, FIN, RST, SYN, TCP, Index

from .runs import begins, first_rank, reordered, side_by_side, together

_EPHEMERAL = 32768  # where Linux begins to take client ports from


@dataclass(frozen=True)
class Sightings:
    """of_packet: sighting of each packet, or -1. The other columns have one entry a sighting, in order of first packet.

    rows: the packets of all sightings, sighting after sighting, in time order; those of sighting s are
    rows[begin[s]:begin[s + 1]]. from_client: for each packet of the recording, whether the client sent it.
    client, server: numbers into `Index.addresses`.
    """

    of_packet: Ints
    from_client: Bools
    rows: Ints
    begin: Ints
    vantage: Ints
    proto: Ints
    client: Ints
    client_port: Ints
    server: Ints
    server_port: Ints
    first: Ints
    last: Ints

    def __len__(self) -> int:
        return len(self.vantage)

    def packets(self, sighting: int) -> Ints:
        """Row numbers (0-based) of one sighting's packets, in time order."""
        return self.rows[self.begin[sighting] : self.begin[sighting + 1]]


def sight(index: Index) -> Sightings:
    """Group the packets that have ports into sightings."""
    there = (index.sport >= 0) & (index.dport >= 0) & (index.source >= 0) & (index.target >= 0)
    rows = np.flatnonzero(there)
    whole = len(rows) == len(index)
    words, forward = _keys(index, None if whole else rows)
    order, new = together(words)
    if not whole:
        order, forward = rows[order], _spread(forward, rows, len(index))
    begin = begins(new)
    of_packet, opening = _numbers(order, begin, len(index)), _opening(index, there)
    again = _reopened(index, order, forward, begin, of_packet, opening[0])
    if again.any():
        begin = begins(new | again)
        place, begin = reordered(begin, first_rank(order, begin))  # again in order of their first packet
        order = order[place]
        of_packet = _numbers(order, begin, len(index))
    return _assemble(index, order, forward, begin, of_packet, opening)


def _keys(index: Index, rows: Ints | None) -> tuple[list[Words], Bools]:
    """What is equal for the packets (at *rows*; None: all) of one tuple, either way, and which way each goes."""
    count = len(index) if rows is None else len(rows)
    addresses, vantages = len(index.addresses).bit_length(), len(index.link_types).bit_length()
    narrow = 2 * addresses + vantages + 33 <= 64  # all in one word
    words = [np.empty(count, dtype=np.int64) for _ in range(1 if narrow else 2)]
    forward = np.empty(count, dtype=bool)

    def fill(part: slice) -> None:
        some = part if rows is None else rows[part]
        one, two = (_endpoint(address[some], port[some]) for address, port in sides)
        forward[part] = one <= two
        low, high = np.minimum(one, two), np.maximum(one, two, out=one)
        vantage, proto = index.vantage[some].astype(np.int64), index.proto[some] != TCP  # only TCP and UDP have ports
        if narrow:
            low <<= 16 + addresses
            low |= high
            low <<= vantages
            low |= vantage
            low <<= 1
            np.bitwise_or(low, proto, out=words[0][part])
        else:
            np.bitwise_or(low, vantage << 48, out=words[0][part])
            np.bitwise_or(high, proto.astype(np.int64) << 48, out=words[1][part])

    sides = ((index.source, index.sport), (index.target, index.dport))
    side_by_side(fill, count)
    return [word.view(np.uint64) for word in words], forward


def _endpoint(address: Ints, port: Ints) -> Ints:
    end = address.astype(np.int64)
    end <<= 16
    end |= port
    return end


def _spread(marks: Bools, rows: Ints, size: int) -> Bools:
    spread = np.zeros(size, dtype=bool)
    spread[rows] = marks
    return spread


def _numbers(rows: Ints, begin: Ints, size: int) -> Ints:
    """Of each packet the run it is in, or -1."""
    found = np.empty(size, dtype=np.int32) if len(rows) == size else np.full(size, MISSING, dtype=np.int32)
    found[rows] = np.repeat(np.arange(len(begin) - 1, dtype=np.int32), np.diff(begin))
    return found


def _opening(index: Index, there: Bools) -> tuple[Ints, Ints]:
    """The rows of the packets *there* with SYN and without ACK, and of those with both."""
    rows = np.flatnonzero((index.flags & SYN != 0) & (index.flags > 0) & there)
    accepting = index.flags[rows] & ACK > 0
    return rows[~accepting], rows[accepting]


def _reopened(index: Index, rows: Ints, forward: Bools, begin: Ints, of_packet: Ints, syn: Ints) -> Bools:
    """Where a tuple is used again. Looks only at tuples with a SYN that neither is nor repeats the first packet."""
    again = np.zeros(len(rows), dtype=bool)
    first = rows[begin[of_packet[syn]]]
    flags = index.flags[first]
    repeated = (flags > 0) & (flags & (SYN | ACK) == SYN) & (index.seq[first] == index.seq[syn])
    for number in np.unique(of_packet[syn[~repeated]]).tolist():
        where = slice(int(begin[number]), int(begin[number + 1]))
        again[where] = _reopened_here(index, rows[where], forward[rows[where]])
    return again


def _reopened_here(index: Index, rows: Ints, forward: Bools) -> Bools:
    """The same for one tuple's packets: a SYN with a new number begins anew if what was before is over or never was.

    Over: a reset, or a FIN from each side. Never was: nothing came back. Or the new SYN was itself answered.
    """
    again = np.zeros(len(rows), dtype=bool)
    flags, seq = index.flags[rows], index.seq[rows]
    opening = np.where(flags >= 0, flags & (SYN | ACK), 0)
    answers = np.flatnonzero(opening == SYN | ACK)
    accepted = dict(zip(((index.ack[rows[answers]] - 1) % (1 << 32)).tolist(), answers.tolist(), strict=True))
    resets = _running((flags >= 0) & (flags & RST != 0))
    fins = (flags >= 0) & (flags & FIN != 0)
    ended = [_running(fins & forward), _running(fins & ~forward)]
    sent = {True: _running(forward), False: _running(~forward)}
    begin, current, sender = 0, MISSING, None
    for i in np.flatnonzero(opening == SYN).tolist():
        isn, side = int(seq[i]), bool(forward[i])
        if i > begin and isn != current:
            over = resets[i] > resets[begin] or all(count[i] > count[begin] for count in ended)
            unanswered = side == sender and sent[side][i] - sent[side][begin] == i - begin
            answered = sender in (side, None) and accepted.get(isn, MISSING) > i
            if over or unanswered or answered:
                again[i] = True
                begin = i
            elif current != MISSING:
                continue  # a stray SYN on a live connection: RFC 9293 §3.10.7.4 answers it and goes on
        current, sender = isn, side
    return again


def _running(marks: Bools) -> Ints:
    """How many marks stand before each position, and in all."""
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(marks)])


def _assemble(
    index: Index, rows: Ints, forward: Bools, begin: Ints, of_packet: Ints, opening: tuple[Ints, Ints]
) -> Sightings:
    first, last = rows[begin[:-1]], rows[begin[1:] - 1]
    is_client = np.append(_client_is_forward(index, forward, first, of_packet, opening), False)
    from_client = np.empty(len(index), dtype=bool)

    def fill(part: slice) -> None:
        np.equal(forward[part], is_client[of_packet[part]], out=from_client[part])

    side_by_side(fill, len(index))
    if len(rows) < len(index):
        from_client &= of_packet >= 0
    sent = from_client[first]

    def end(of_sender: Ints, of_receiver: Ints) -> Ints:
        return np.where(sent, of_sender[first], of_receiver[first])

    return Sightings(
        of_packet=of_packet,
        from_client=from_client,
        rows=rows.astype(np.int32),
        begin=begin,
        vantage=index.vantage[first],
        proto=index.proto[first],
        client=end(index.source, index.target),
        client_port=end(index.sport, index.dport),
        server=end(index.target, index.source),
        server_port=end(index.dport, index.sport),
        first=first.astype(np.int32),
        last=last.astype(np.int32),
    )


def _client_is_forward(index: Index, forward: Bools, first: Ints, of_packet: Ints, opening: tuple[Ints, Ints]) -> Bools:
    """Who opened it: the sender of the first SYN, else the receiver of the first SYN-ACK, else what is likely.

    Without either the TCP side with a port from 32768 up (where clients' ports come from) is the client if the other
    is below; else, and for UDP, the sender of the first packet: of UDP the first at any vantage point. *first*: the
    first packet of each sighting.
    """
    is_client = _began_forward(index, first, forward[first])
    sport, dport = index.sport[first], index.dport[first]
    reply = (index.proto[first] == TCP) & (sport < _EPHEMERAL) & (dport >= _EPHEMERAL)
    is_client ^= reply
    for found, sender_is_client in ((opening[1][::-1], False), (opening[0][::-1], True)):  # of several the first counts
        is_client[of_packet[found]] = forward[found] == sender_is_client
    return is_client


def _began_forward(index: Index, first: Ints, forward: Bools) -> Bools:
    """For each sighting, by its first packet, whether its conversation began forward, wherever that was seen first.

    Where answers go another way than questions (direct server return), a vantage point sees one direction alone.
    """
    sides = ((index.source, index.sport), (index.target, index.dport))
    one, two = (_endpoint(address[first], port[first]) for address, port in sides)
    ends = [np.minimum(one, two).view(np.uint64), np.maximum(one, two).view(np.uint64)]
    udp = index.proto[first] != TCP
    order, new = together([word[udp] for word in ends])
    found = forward.copy()
    if len(order):
        places = np.flatnonzero(udp)[order]
        found[places] = forward[places[np.flatnonzero(new)]][np.cumsum(new) - 1]
    return found


def sightings_about(index: Index, sightings: Sightings, errors: Embedded) -> Ints:
    """For each ICMP error the sighting, at its vantage point, of the packet that it carries; -1 if there is none.

    Of several on the same tuple it is the last that began before the error.
    """
    found = np.full(len(errors), MISSING, dtype=np.int64)
    if not len(errors):
        return found
    known: dict[tuple[int, ...], list[int]] = defaultdict(list)
    s = sightings
    ends = zip(s.client.tolist(), s.client_port.tolist(), s.server.tolist(), s.server_port.tolist(), strict=True)
    for number, (vantage, proto, end) in enumerate(zip(s.vantage.tolist(), s.proto.tolist(), ends, strict=True)):
        known[(vantage, proto, *end)].append(number)
        known[(vantage, proto, *end[2:], *end[:2])].append(number)
    e = errors
    columns = (index.vantage[e.rows], e.proto, e.source, e.sport, e.target, e.dport)
    for place, key in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        begun = [number for number in known.get(key, ()) if s.first[number] < e.rows[place]]
        found[place] = begun[-1] if begun else MISSING
    return found
