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

from ..inward import Inward
from ..policy import Forward
from .choose import Chooser
from .direct import Place, direct
from .inward import rules
from .pieces import destination, e, note, port, state
from .styles import backend, sources
from .values import TABLE, Chain, Code, Expression, Family, Hook, Rule, Ruleset, Table, Verdict
from .wanted import check

PREROUTING, FORWARD = 0, 2  # hooks
DSTNAT, FILTER = -100, 0  # priorities
ESTABLISHED, RELATED, NEW = 2, 4, 8  # bits of the ct state
TCP_RESET, ICMPX_UNREACHABLE, PORT_UNREACHABLE = 1, 2, 1


def render(
    vips: tuple[str, str | None],
    forwards: Sequence[Forward],
    place: Place | None = None,
    inward: Sequence[Inward] = (),
) -> Ruleset:
    """The rules that forward each listener of *forwards*, on both addresses of the VIP (IPv4, IPv6 or None).

    place: where packets are sent on directly, which ``style="dsr"`` needs; with it there is a second table. inward:
    listeners that end in a proxy on lb at another port. Where a target has no IPv6 address but the VIP has one, IPv6
    clients of that listener are refused by a rule that says so: passed by, they would reach whatever listens on lb. A
    forward without targets refuses everybody. PolicyError for what `wanted.check` refuses.
    """
    check(forwards)
    chain_of = dict(zip(forwards, _names(forwards), strict=True))
    families = [family for family, vip in zip((Family.IP, Family.IP6), vips, strict=True) if vip]
    chooser = Chooser()
    translated = [forward for forward in forwards if forward.targets and forward.style != "dsr"]
    choices = [chooser.choice(forward, chain_of[forward], families) for forward in translated]
    dispatched = (*_dispatch(vips, chain_of), *rules(vips, inward))
    chains = [
        Chain("prerouting", dispatched, Hook("nat", PREROUTING, DSTNAT)),
        Chain("forward", tuple(_tracking()), Hook("filter", FORWARD, FILTER)),
    ]
    chains += sources(vips, translated)
    for forward, choice in zip(translated, choices, strict=True):
        chains.append(Chain(chain_of[forward], choice.rules, userdata=note(choice.about)))
        for target in dict.fromkeys(forward.targets):
            chains.append(backend(f"{chain_of[forward]}_{target.name}", forward, target))
    maps = {found.name: found for choice in choices for found in choice.maps}
    tables = [Table(TABLE, Family.INET, tuple(chains), tuple(maps.values()), userdata=note("written by labkit"))]
    directly = {forward: name for forward, name in chain_of.items() if forward.targets and forward.style == "dsr"}
    if directly and place is None:
        raise PolicyError("Direct server return needs a router beside lb: start the lab with direct_return().")
    if place is not None:
        tables.append(direct(vips, directly, place))
    for table in tables:
        if len({chain.name for chain in table.chains}) != len(table.chains):
            raise PolicyError("Two listeners would share a chain of rules; give the listeners names that differ more.")
    return Ruleset(tuple(tables))


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
            if why := _why_refused(forward, family):
                yield Rule((*match, _refusal(listener.transport)), note(f"{listener.label}: refused, {why}"))
            elif forward.style != "dsr":
                go = e("immediate", dreg=0, data=Verdict(Code.GOTO, name))
                yield Rule((*match, go), note(f"{listener.label}: known by address and port, on the first packet"))


def _why_refused(forward: Forward, family: Family) -> str:
    """Why no client of *family* can be served; empty if it can."""
    if not forward.targets:
        return "no backend takes connections"
    lacking = [target.name for target in forward.targets if family == Family.IP6 and not target.address6]
    return f"{lacking[0]} has no IPv6 address" if lacking else ""


def _refusal(transport: str) -> Expression:
    """A clear no: a reset for TCP, port unreachable for UDP."""
    if transport == "tcp":
        return e("reject", type=TCP_RESET, code=0)
    return e("reject", type=ICMPX_UNREACHABLE, code=PORT_UNREACHABLE)


def _tracking() -> Iterator[Rule]:
    """The rules that keep connection tracking alive, and count."""
    yield Rule((*state(NEW), e("counter")), note("first packets of forwarded connections"))
    yield Rule(
        (*state(ESTABLISHED | RELATED), e("counter")),
        note("all later packets: the backend is not chosen again"),
    )
