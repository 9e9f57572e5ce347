"""What tests try with the kernel inside a host: each function says what came of it."""

import os
import socket
from typing import Any

from labkit.balancer.nftables import decode, encode
from labkit.balancer.nftables.netlink import DUMP, NFTABLES, Message, Netlink, text
from labkit.balancer.nftables.render import render
from labkit.balancer.nftables.text import text as listing
from labkit.balancer.nftables.values import Chain, Expression, Family, Rule, Table, Verdict
from labkit.balancer.policy import Forward, Target
from labkit.errors import EngineError
from labkit.topology import Listener

EMPTY = Table("labkit", Family.INET)


def _refused(netlink: Netlink, requests: list[Message]) -> str:
    try:
        netlink.commit(requests)
    except EngineError as error:
        return str(error)
    return "nothing was refused"


def jump_into_nothing() -> list[str]:
    go = Rule((Expression("immediate", {"dreg": 0, "data": Verdict(-3, "nowhere")}),))
    with Netlink() as netlink:
        netlink.commit(encode.swap(render(("10.0.1.10", None), []).table()))
        before = listing(decode.live(netlink)[1])
        error = _refused(netlink, encode.swap(Table("labkit", Family.INET, (Chain("c", (go,)),))))
        return [error, before, listing(decode.live(netlink)[1])]


def without_rights() -> str:
    """In a process that is root of another user namespace, not of the one that the network belongs to."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.unshare(os.CLONE_NEWUSER)
        with Netlink() as netlink:
            answer = _refused(netlink, [Message(NFTABLES << 8, 1, b"", "x")])
        os.write(theirs, answer.encode())
        os._exit(0)
    os.waitpid(child, 0)
    return os.read(ours, 1000).decode()


def list_a_set_that_is_not() -> str:
    with Netlink() as netlink:
        netlink.commit(encode.swap(EMPTY))
        asked = text(1, "labkit") + text(2, "gone")
        try:
            netlink.dump(Message(NFTABLES << 8 | decode.GETSETELEM, Family.INET, asked, "the elements of a set", DUMP))
        except EngineError as error:
            return str(error)
    return "nothing was refused"


def generations() -> list[int]:
    with Netlink() as netlink:
        found = [decode.generation(netlink), decode.generation(netlink)]
        netlink.commit(encode.swap(EMPTY))
        return [*found, decode.generation(netlink)]


def restless() -> list[Any]:
    """Read while every dump of the tables finds them changed."""
    with Netlink() as netlink, Netlink() as other:
        dump, tries = netlink.dump, 0

        def changing(request: Message) -> list[bytes]:
            nonlocal tries
            if request.kind == NFTABLES << 8 | decode.GETTABLE:
                tries += 1
                other.commit(encode.swap(EMPTY))
                if tries % 2:
                    raise InterruptedError
            return dump(request)

        netlink.dump = changing  # type: ignore[method-assign]
        try:
            decode.live(netlink)
        except EngineError as error:
            return [tries, str(error)]
    return [tries, "nothing was refused"]


def more_than_there_is_room_for() -> str:
    with Netlink() as netlink:
        netlink.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2048)
        targets = tuple(Target(f"api{number}", f"10.9.0.{number}") for number in range(100))
        return _refused(netlink, encode.swap(render(("10.0.1.10", None), [Forward(Listener(80), targets)]).table()))


def many_backends(count: int) -> list[Any]:
    targets = tuple(Target(f"api{number}", f"10.9.{number // 250}.{number % 250}") for number in range(count))
    wanted = render(("10.0.1.10", None), [Forward(Listener(80), targets)])
    with Netlink() as netlink:
        netlink.commit(encode.swap(wanted.table()))
        found = decode.live(netlink)[1]
    return [len(found.table().sets[0].elements), listing(found) == listing(wanted)]
