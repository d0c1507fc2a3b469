"""Listening sockets: opened here, or inherited from the process that started us.

Several processes may accept from one inherited socket: whoever is free takes the next connection, and one that is
stopped keeps none back. (With a socket each, `SO_REUSEPORT`, half of the connections hang while one process stands.)
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, MutableMapping

import trio

_FIRST_FD = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


async def open_listeners(host: str, port: int, backlog: int = 2048) -> list[trio.SocketListener]:
    """Listening sockets on every address of `host` (port 0: a free one). Raises `OSError` when one cannot be bound."""
    return await trio.open_tcp_listeners(port, host=host, backlog=backlog)


def listeners_from(sockets: Iterable[socket.socket]) -> list[trio.SocketListener]:
    """Listeners on sockets that listen already; they may be shared with other processes. Takes the sockets over.

    Raises `ValueError` for one that is not a listening TCP socket.
    """
    listeners = []
    for sock in sockets:
        if sock.type != socket.SOCK_STREAM or not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ValueError(f"the inherited descriptor {sock.fileno()} is not a listening TCP socket")
        listeners.append(trio.SocketListener(trio.socket.from_stdlib_socket(sock)))
    return listeners


def inherited_sockets(environment: MutableMapping[str, str]) -> dict[str, list[socket.socket]]:
    """Sockets passed down from the parent, by name; empty without any. For `os.environ`, once, at start.

    The protocol is systemd's (sd_listen_fds(3)): descriptors from 3 on, `LISTEN_FDS` of them, for the process
    `LISTEN_PID`, named in `LISTEN_FDNAMES`. The variables are removed and the descriptors marked as not to be inherited
    again. Raises `ValueError` for variables that make no sense and descriptors that are no sockets.
    """
    given = {name: environment.pop(name, "") for name in _VARIABLES}
    if given["LISTEN_PID"] != str(os.getpid()) or not given["LISTEN_FDS"]:
        return {}
    if not given["LISTEN_FDS"].isdecimal():
        raise ValueError(f"LISTEN_FDS={given['LISTEN_FDS']!r} is not a number")
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    sockets: dict[str, list[socket.socket]] = {}
    for place in range(int(given["LISTEN_FDS"])):
        fd = _FIRST_FD + place
        try:
            os.set_inheritable(fd, False)
            sock = socket.socket(fileno=fd)
        except OSError as exc:
            raise ValueError(f"the inherited descriptor {fd} is not a socket: {exc.strerror}") from None
        sockets.setdefault(names[place] if place < len(names) else "unknown", []).append(sock)
    return sockets
