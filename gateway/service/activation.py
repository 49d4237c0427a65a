"""Sockets that systemd made and hands over (sd_listen_fds(3)): `gateway` for queries, `control` for the control API."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

from gateway.errors import ListenFailed

if TYPE_CHECKING:
    from collections.abc import MutableMapping

__all__ = ["CONTROL", "GATEWAY", "handed_over"]

GATEWAY: Final = "gateway"
CONTROL: Final = "control"
_FIRST: Final = 3  # SD_LISTEN_FDS_START
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
_MOST: Final = 1024


def handed_over(environment: MutableMapping[str, str], *, process: int | None = None) -> dict[str, list[socket.socket]]:
    """The sockets by their names (`FileDescriptorName=` of their unit); empty if there are none for this process.

    Takes the variables out of `environment`, so that no child believes that they are for it. The sockets are the
    caller's to close. Raises `ListenFailed` for a descriptor that is no listening stream socket, and for a name that
    is neither `gateway` nor `control`.
    """
    given = {name: environment.pop(name, "") for name in _VARIABLES}
    if given["LISTEN_PID"] != str(process or os.getpid()):
        return {}
    count = given["LISTEN_FDS"]
    if not (count.isascii() and count.isdigit() and len(count) <= 4 and int(count) <= _MOST):
        raise ListenFailed(f"LISTEN_FDS is no number of sockets: {count[:20]!r}. It is systemd that sets it.")
    names = given["LISTEN_FDNAMES"].split(":") if given["LISTEN_FDNAMES"] else []
    names += ["unknown"] * (int(count) - len(names))  # as systemd calls what has no name
    found: dict[str, list[socket.socket]] = {}
    try:
        for number, name in enumerate(names[: int(count)]):
            found.setdefault(name, []).append(_socket(_FIRST + number, name))
    except ListenFailed:
        for sockets in found.values():
            for each in sockets:
                each.close()
        raise
    return found


def _socket(descriptor: int, name: str) -> socket.socket:
    if name not in {GATEWAY, CONTROL}:
        raise ListenFailed(
            f"systemd handed over a socket called {name[:80]!r}, which is not known here: "
            f"set FileDescriptorName={GATEWAY} or FileDescriptorName={CONTROL} in its socket unit."
        )
    try:
        made = socket.socket(fileno=descriptor)
    except OSError:
        raise ListenFailed(f"What systemd handed over as {name!r} (descriptor {descriptor}) is no socket.") from None
    listening = made.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if made.type != socket.SOCK_STREAM or not listening:
        made.close()
        raise ListenFailed(
            f"What systemd handed over as {name!r} (descriptor {descriptor}) is no listening stream socket: "
            "its socket unit needs ListenStream= and Accept=no."
        )
    made.setblocking(False)
    made.set_inheritable(False)
    return made
