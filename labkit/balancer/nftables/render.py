"""What shall be forwarded, as nftables rules. Pure: values in, values out.

The rules of one listener with two backends, in nftables syntax::

    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        ip daddr 10.0.1.10 tcp dport 80 goto http_80        # who is asked for: address and port, no more
    }
    chain http_80 {
        numgen inc mod 2 vmap { 0 : goto http_80_api1, 1 : goto http_80_api2 }      # whose turn is it; see `choose`
    }
    chain http_80_api1 {
        counter
        dnat ip to 10.0.2.11                                # the new label on the closed envelope
    }

IPv4 and IPv6 clients of a listener meet in its chain, so that they share one round.

Two things hold in every ruleset, also where nothing is forwarded: the nat base chain is there, and the
chain ``forward`` has a ``ct`` expression. Without either the kernel stops tracking connections, and those
that were translated before are cut. Only the prerouting hook translates, so what lb itself sends (an L7
proxy's connections to its backends) is left alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from labkit.errors import PolicyError

from ..policy import Forward, Target
from .choose import Chooser
from .pieces import destination, e, note, packed, port, protocol, state, u16
from .values import TABLE, Chain, Code, Family, Hook, Rule, Ruleset, Table, Verdict
from .wanted import check

PREROUTING, FORWARD = 0, 2  # hooks
DSTNAT, FILTER = -100, 0  # priorities
ESTABLISHED, RELATED, NEW = 2, 4, 8  # bits of the ct state
DNAT, RANGE_SPECIFIED = 1, 2
TCP_RESET, ICMPX_UNREACHABLE, PORT_UNREACHABLE = 1, 2, 1


def render(vips: tuple[str, str | None], forwards: Sequence[Forward]) -> Ruleset:
    """The rules that forward each listener of *forwards*, on both addresses of the VIP (IPv4, IPv6 or None).

    Where a target has no IPv6
    address but the VIP has one, IPv6 clients of that listener are refused by a rule that says so: passed
    by, they would reach whatever listens on lb. PolicyError for what `wanted.check` refuses.
    """
    check(forwards)
    chain_of = dict(zip(forwards, _names(forwards), strict=True))
    families = [family for family, vip in zip((Family.IP, Family.IP6), vips, strict=True) if vip]
    chooser = Chooser()
    choices = [chooser.choice(forward, chain_of[forward], families) for forward in forwards]
    chains = [
        Chain("prerouting", tuple(_dispatch(vips, chain_of)), Hook("nat", PREROUTING, DSTNAT)),
        Chain("forward", tuple(_tracking()), Hook("filter", FORWARD, FILTER)),
    ]
    for forward, choice in zip(forwards, choices, strict=True):
        chains.append(Chain(chain_of[forward], choice.rules, userdata=note(choice.about)))
        for target in dict.fromkeys(forward.targets):
            chains.append(_backend(f"{chain_of[forward]}_{target.name}", forward, target))
    if len({chain.name for chain in chains}) != len(chains):
        raise PolicyError("Two listeners would share a chain of rules; give the listeners names that differ more.")
    maps = {found.name: found for choice in choices for found in choice.maps}
    return Ruleset(
        (Table(TABLE, Family.INET, tuple(chains), tuple(maps.values()), userdata=note("written by labkit")),)
    )


def _names(forwards: Iterable[Forward]) -> Iterator[str]:
    """A name for each listener's chain, as nft accepts it: the label and, if it does not say it, the port."""
    taken: set[str] = set()
    for forward in forwards:
        listener = forward.listener
        words = [word for word in re.split(r"[^A-Za-z0-9]+", listener.label) if word]
        ports = listener.ports_text.split("-")
        if words[-len(ports) :] != ports:
            words += ports
        if not words[0][0].isalpha():
            words.insert(0, listener.protocol)
        name = "_".join(words)
        if name in taken:
            name = f"{name}_{listener.transport}"
        taken.add(name)
        yield name


def _dispatch(vips: tuple[str, str | None], chain_of: dict[Forward, str]) -> Iterator[Rule]:
    """The rules that know a listener by address, protocol and port."""
    for forward, name in chain_of.items():
        listener = forward.listener
        for family, vip in zip((Family.IP, Family.IP6), vips, strict=True):
            if vip is None:
                continue
            match = (*destination(family, vip), *port(listener.transport, listener.port, listener.last_port))
            lacking = [target.name for target in forward.targets if family == Family.IP6 and not target.address6]
            if lacking:
                refuse = (
                    e("reject", type=TCP_RESET, code=0)
                    if listener.transport == "tcp"
                    else e("reject", type=ICMPX_UNREACHABLE, code=PORT_UNREACHABLE)
                )
                yield Rule((*match, refuse), note(f"{listener.label}: refused, {lacking[0]} has no IPv6 address"))
            else:
                go = e("immediate", dreg=0, data=Verdict(Code.GOTO, name))
                yield Rule((*match, go), note(f"{listener.label}: known by address and port, on the first packet"))


def _tracking() -> Iterator[Rule]:
    """The rules that keep connection tracking alive, and count."""
    yield Rule((*state(NEW), e("counter")), note("first packets of forwarded connections"))
    yield Rule(
        (*state(ESTABLISHED | RELATED), e("counter")),
        note("all later packets: the backend is not chosen again"),
    )


def _backend(name: str, forward: Forward, target: Target) -> Chain:
    """Count, then give the connection its new destination."""
    listener = forward.listener
    rules = [Rule((e("counter"),))]
    for family, address in ((Family.IP, target.address4), (Family.IP6, target.address6)):
        if address is None:
            continue
        load = [e("immediate", dreg=1, data=packed(family, address))]
        if listener.target_port == listener.port:  # a range of ports, too, stays as it is
            nat = e("nat", type=DNAT, family=family, addr_min=1)
        else:
            load = [*protocol(listener.transport), *load, e("immediate", dreg=2, data=u16(listener.target_port))]
            nat = e("nat", type=DNAT, family=family, addr_min=1, proto_min=2, flags=RANGE_SPECIFIED)
        rules.append(Rule((*load, nat)))
    return Chain(name, tuple(rules), userdata=note(f"{target.name} serves {listener.label}"))
