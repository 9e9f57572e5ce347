"""Capture filters: an expression of pcap-filter(7) as the program that the kernel runs on every packet.

libpcap itself compiles (cypcap brings it along). Before that, every word of the expression is looked at here: names of
the lab's nodes become their addresses, and no other name is let through, for libpcap would ask the machine's name
servers about it, outside the lab. A filter that is refused is refused with its position, and before anything exists.

VLAN: the kernel takes the tag off a frame that it receives and keeps it beside the frame; a filter sees what is left,
so ``tcp port 80`` finds tagged packets as they come in, and ``vlan`` would find none: it is refused.
"""

import re
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from labkit.errors import CaptureError
from labkit.wording import near_miss, short, shown

LONGEST: Final = 4000  # characters, and at most so many instructions, which is about the kernel's limit
_ETHERNET: Final = 1
_WHOLE: Final = 262144  # bytes of a packet that are kept
_NO_SENSE: Final = "syntax error"  # in libpcap's words, which do not say where
_COMPLETIONS: Final = ("", " tcp", " 80", " host 10.0.0.1", " )", " tcp )", " 80 )", " ] = 0", " 0 ] = 0", " = 0")
_EXAMPLE: Final = 'It is written as for tcpdump (pcap-filter(7)), for example filter="tcp port 80".'

_KEYWORDS: Final = (  # of pcap-filter(7)
    "and or not host net mask port portrange src dst proto protochain gateway broadcast multicast less greater "
    "len ether link ip ip6 arp rarp tcp udp sctp icmp icmp6 igmp igrp pim vrrp carp ah esp atalk aarp decnet iso "
    "clnp esis isis stp ipx netbeui lat moprc mopdl radio mpls pppoed pppoes geneve inbound outbound vlan llc "
    "tcpflags tcp-fin tcp-syn tcp-rst tcp-push tcp-ack tcp-urg tcp-ece tcp-cwr icmptype icmpcode icmp6type "
    "icmp6code icmp-echoreply icmp-unreach icmp-sourcequench icmp-redirect icmp-echo icmp-routeradvert "
    "icmp-routersolicit icmp-timxceed icmp-paramprob icmp-tstamp icmp-tstampreply icmp-ireq icmp-ireqreply "
    "icmp-maskreq icmp-maskreply icmp6-destinationunreach icmp6-packettoobig icmp6-timeexceeded "
    "icmp6-parameterproblem icmp6-echo icmp6-echoreply icmp6-multicastlistenerquery "
    "icmp6-multicastlistenerreportv1 icmp6-multicastlistenerdone icmp6-routersolicit icmp6-routeradvert "
    "icmp6-neighborsolicit icmp6-neighboradvert icmp6-redirect icmp6-multicastlistenerreportv2"
)
_WORDS: Final = frozenset(_KEYWORDS.split())
_REFUSED: Final[Mapping[str, str]] = {
    "vlan": "the kernel keeps VLAN tags beside the frame, where a filter does not see them",
    "gateway": "it needs a list of routers that no lab has",
}
_TAKES_NAME: Final[Mapping[str, str]] = {
    **dict.fromkeys(("port", "portrange"), "service"),
    **dict.fromkeys(("proto", "protochain"), "protocol"),
    **dict.fromkeys(("host", "net", "src", "dst", "gateway"), ""),
}
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
      | (?P<plain>
            (?:[0-9A-Fa-f]{1,2}[:.-]){5}[0-9A-Fa-f]{1,2}(?![\w.:-])          # a MAC address
          | [0-9A-Fa-f:]*::[0-9A-Fa-f:.]*(?:/\d+)?                           # IPv6
          | (?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}(?:/\d+)?
          | \d{1,3}(?:\.\d{1,3}){1,3}(?:/\d+)?(?![\w.])                      # IPv4, and the beginning of one
          | 0[xX][0-9A-Fa-f]+(?![\w.])
          | \d+-\d+(?![\w.-])                                                # a range of ports
          | \d+(?:/\d+)?(?![\w.])
          | <<|>>|<=|>=|!=|==|&&|\|\||[()\[\]:&|^+\-*/%<>=!~]
        )
      | (?P<name>\\?[A-Za-z_][\w.]*(?:-[\w.]+)*)
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Filter:
    """text: as written by the user. program: the instructions, as the kernel wants them (struct sock_filter each)."""

    text: str
    program: bytes


@dataclass(frozen=True, slots=True)
class _Token:
    at: int
    text: str
    is_name: bool


def compile_filter(expression: str, hosts: Mapping[str, Sequence[str]] | None = None) -> Filter:
    """*expression* compiled for Ethernet. hosts: addresses of the names that it may use, such as ``host alice``.

    CaptureError, with the place, for what pcap-filter(7) does not know or this kernel cannot do.
    """
    if not isinstance(expression, str):
        raise CaptureError(f"A capture's filter is a text, not {shown(expression)}. {_EXAMPLE}")
    if not expression.strip():
        raise CaptureError("The capture's filter is empty. Leave it out to capture every packet.")
    if len(expression) > LONGEST:
        raise CaptureError(f"The capture's filter has {len(expression)} characters, {LONGEST} at most are compiled.")
    tokens = list(_tokens(expression))
    refusals: list[CaptureError] = []
    for version in ("", ".", ":"):  # a name may stand where only one kind of address may, as in "ip host alice"
        words = list(_resolved(expression, tokens, _of_version(hosts or {}, version)))
        try:
            return Filter(expression, _compiled(" ".join(words)))
        except ValueError as error:
            refusals.append(_refusal(expression, *_culprit(tokens, words, str(error))))
    raise refusals[0]


def _of_version(hosts: Mapping[str, Sequence[str]], mark: str) -> dict[str, list[str]]:
    """*hosts* with only the addresses that have *mark* in them; names that have none keep theirs."""
    return {
        name: [address for address in addresses if mark in address] or list(addresses)
        for name, addresses in hosts.items()
    }


def _tokens(expression: str) -> Iterator[_Token]:
    at = 0
    while at < len(expression):
        found = _TOKEN.match(expression, at)
        if found is None:
            word = re.match(r"[^\s()\[\]]+", expression[at:])
            raise _refusal(expression, _Token(at, word[0] if word else expression[at], False), "no such word or sign")
        if found.lastgroup != "space":
            yield _Token(at, found[0], found.lastgroup == "name")
        at = found.end()


def _resolved(expression: str, tokens: Sequence[_Token], hosts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """The words for libpcap: names of nodes as addresses, everything else as it is."""
    takes: str | None = None  # what kind of name the last word that takes one takes
    before = ""
    for token in tokens:
        word = token.text.removeprefix("\\")
        takes = _TAKES_NAME.get(word, takes)
        if reason := _REFUSED.get(word):
            raise _refusal(expression, token, reason)
        if before in ("proto", "protochain") and word in _WORDS:
            yield f"\\{word}"
        elif not token.is_name or word in _WORDS or _is_known(word, takes):
            yield token.text
        elif addresses := hosts.get(word):
            yield ("host " if takes is None else "") + f"( {' or '.join(addresses)} )"
        else:
            raise _refusal(expression, token, f"no such word, and no node{near_miss(word, [*_WORDS, *hosts])}")
        before = word


def _is_known(name: str, kind: str | None) -> bool:
    look_ups = {"service": socket.getservbyname, "protocol": socket.getprotobyname}
    try:
        return kind in look_ups and look_ups[kind](name) >= 0
    except OSError:
        return False


def _compiled(expression: str) -> bytes:
    """The program. ValueError in libpcap's words."""
    import cypcap

    try:
        with cypcap.open_dead(cypcap.DatalinkType(_ETHERNET), _WHOLE) as compiler:
            program = [tuple(instruction) for instruction in compiler.compile(expression, optimize=True)]
    except cypcap.Error as error:
        raise ValueError(str(error.args[-1])) from error
    if len(program) > LONGEST:
        raise ValueError(f"it is too long: {len(program)} instructions, {LONGEST} at most")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _culprit(tokens: Sequence[_Token], words: Sequence[str], reason: str) -> tuple[_Token, str]:
    """The word that spoils it, and why: the one that libpcap names, or the first that nothing could make good."""
    named = [token for token in tokens if re.search(rf"(?<!\w){re.escape(token.text)}(?!\w)", reason)]
    if named and _NO_SENSE not in reason:
        return max(named, key=lambda token: len(token.text)), reason
    if _NO_SENSE not in reason:
        return tokens[0], reason
    for count in range(len(words), 0, -1):
        if any(_compiles(" ".join(words[:count]) + completion) for completion in _COMPLETIONS):
            if count == len(words):
                return tokens[-1], "something is missing after it"
            return tokens[count], "it makes no sense there"
    return tokens[0], "it makes no sense there"


def _compiles(expression: str) -> bool:
    try:
        return bool(_compiled(expression))
    except ValueError:
        return False


def _refusal(expression: str, token: _Token, reason: str) -> CaptureError:
    return CaptureError(
        f"The capture's filter {shown(expression)} is not understood at {short(shown(token.text))} "
        f"(character {token.at + 1}): {reason}. {_EXAMPLE}"
    )
