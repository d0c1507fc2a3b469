"""Listeners that come from somewhere else."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import trio

from miroir.http import Receive, Scope, Send, ServerLimits, inherited_sockets, listeners_from, serve
from tests.integration.http.sockets import Client, reply

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def listening() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


async def test_two_servers_share_one_socket_and_one_may_stop() -> None:
    shared = listening()
    port = shared.getsockname()[1]
    stops = [trio.Event() for _ in range(2)]

    def app_of(name: bytes):  # type: ignore[no-untyped-def]  # an ASGI app
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            await reply(send, name)

        return app

    async def ask() -> bytes:
        client = Client(await trio.open_tcp_stream("127.0.0.1", port))
        await client.send(GET)
        body = (await client.answer())[2]
        await client.stream.aclose()
        return body

    async def run(number: int) -> None:
        await serve(
            app_of(b"%d" % number),
            listeners_from([shared.dup()]),
            limits=ServerLimits(),
            shutdown_grace_s=5.0,
            stop=stops[number],
        )
        ended[number].set()

    ended = [trio.Event() for _ in range(2)]
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for number in range(2):
                nursery.start_soon(run, number)
            assert {await ask() for _ in range(10)} <= {b"0", b"1"}
            stops[0].set()
            await ended[0].wait()
            assert {await ask() for _ in range(10)} == {b"1"}  # nothing hangs in a queue of the one that left
            stops[1].set()
    shared.close()


def test_sockets_are_handed_down_by_name() -> None:
    code = (
        "import os; from miroir.http import inherited_sockets\n"
        "found = inherited_sockets(os.environ)\n"
        "print({name: [sock.getsockname()[1] for sock in socks] for name, socks in found.items()})\n"
        "print([os.get_inheritable(sock.fileno()) for socks in found.values() for sock in socks])\n"
        "print([name for name in os.environ if name.startswith('LISTEN')], inherited_sockets(os.environ))\n"
    )
    first, second = listening(), listening()
    shell = f'exec 3<&{first.fileno()} 4<&{second.fileno()}; export LISTEN_PID=$$; exec "$0" -c "$1"'
    answer = subprocess.run(
        ["bash", "-c", shell, sys.executable, code],
        env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "data:metrics"},
        pass_fds=(first.fileno(), second.fileno()),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    ports = {"data": [first.getsockname()[1]], "metrics": [second.getsockname()[1]]}
    assert answer.splitlines() == [str(ports), "[False, False]", "[] {}"]
    first.close()
    second.close()


def test_sockets_meant_for_another_process_are_left_alone() -> None:
    environment = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}
    assert inherited_sockets(environment) == {}
    assert environment == {}


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="LISTEN_FDS='two' is not a number"):
        inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"})


def test_a_socket_that_does_not_listen_is_refused() -> None:
    with socket.socket() as sock, pytest.raises(ValueError, match="not a listening TCP socket"):
        listeners_from([sock])
