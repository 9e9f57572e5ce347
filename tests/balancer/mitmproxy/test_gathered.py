"""Pieces for one connection are joined, in order; nothing is lost where a layer raises."""

from collections.abc import Iterator

import pytest
from mitmproxy.connection import Client, Server
from mitmproxy.proxy import commands

from labkit.balancer.mitmproxy.gathered import gathered

CLIENT = Client(peername=("client", 1), sockname=("lb", 80), timestamp_start=0.0)
SERVER = Server(address=("api1", 80))


def told(made: Iterator[commands.Command]) -> list[object]:
    return [
        (command.connection, command.data) if isinstance(command, commands.SendData) else type(command)
        for command in made
    ]


def test_successive_pieces_for_one_connection_become_one() -> None:
    made = [commands.SendData(CLIENT, piece) for piece in (b"a", b"b", b"c")]
    assert told(gathered(made)) == [(CLIENT, b"abc")]


def test_the_order_of_connections_and_other_commands_stays() -> None:
    made = [
        commands.SendData(CLIENT, b"a"),
        commands.SendData(SERVER, b"b"),
        commands.SendData(SERVER, b"c"),
        commands.Log("-"),
        commands.SendData(SERVER, b"d"),
        commands.CloseConnection(SERVER),
    ]
    assert told(gathered(made)) == [
        (CLIENT, b"a"),
        (SERVER, b"bc"),
        commands.Log,
        (SERVER, b"d"),
        commands.CloseConnection,
    ]
    assert told(gathered([])) == []


def test_what_was_sent_before_an_exception_goes_out() -> None:
    def layer() -> Iterator[commands.Command]:
        yield commands.SendData(CLIENT, b"a")
        yield commands.SendData(CLIENT, b"b")
        raise ValueError("broken")

    made = gathered(layer())
    sent = next(made)
    assert isinstance(sent, commands.SendData)
    assert sent.data == b"ab"
    with pytest.raises(ValueError, match="broken"):
        next(made)
