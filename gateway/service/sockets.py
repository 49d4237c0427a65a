"""The sockets that the gateway listens on: all are made before anything else starts, or none.

On a host and a port, on a path (unix(7)), or handed over by systemd (sd_listen_fds(3)).
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config import Address, UnixAddress
from gateway.errors import ListenFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BACKLOG", "SOCKET_MODE", "Listener", "bound", "listener_of"]

BACKLOG: Final = 2048  # the kernel lowers it to net.core.somaxconn
SOCKET_MODE: Final = 0o660
_IN_USE: Final = "another program listens there already"


@dataclass(frozen=True, slots=True)
class Listener:
    """Bound sockets that belong to one setting, and the URL under which they are reached.

    `setting` is what to change if they are not the right ones. `handed_over`: systemd made them, and keeps them.
    """

    sockets: tuple[socket.socket, ...]
    url: str
    setting: str
    handed_over: bool = False

    def close(self) -> None:
        """Close them all. What is accepted already lives on."""
        for each in self.sockets:
            each.close()


def listener_of(sockets: Sequence[socket.socket], setting: str, scheme: str, *, handed_over: bool = False) -> Listener:
    """What `sockets`, of which there is at least one, are as a listener whose URL has this `scheme`."""
    return Listener(tuple(sockets), url_of(sockets[0], scheme), setting, handed_over)


def url_of(bound_socket: socket.socket, scheme: str) -> str:
    """The URL of a bound socket: with the port that it got, or `http+unix:///path`."""
    name = bound_socket.getsockname()
    if bound_socket.family == socket.AF_UNIX:
        return f"{scheme}+unix://{name if isinstance(name, str) else os.fsdecode(name)}"
    host, port = name[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextmanager
def bound(
    address: Address | UnixAddress, setting: str, *, mode: int = SOCKET_MODE, reuse_port: bool = False
) -> Iterator[list[socket.socket]]:
    """Sockets bound to `address`, listening, closed at the end: one for each address that a host name has.

    `reuse_port` lets other processes of the same user bind the same port (`SO_REUSEPORT`). A Unix socket's file gets
    `mode`; one that nobody answers on is replaced, and it is removed at the end. Raises `ListenFailed`, which names
    `setting`.
    """
    with ExitStack() as stack:
        if isinstance(address, UnixAddress):
            yield [stack.enter_context(_unix_socket(address, setting, mode))]
        else:
            yield _tcp_sockets(address, setting, stack, reuse_port=reuse_port)


def _failed(
    address: Address | UnixAddress, setting: str, why: str, way_out: str = "Choose another address"
) -> ListenFailed:
    return ListenFailed(f"Cannot listen on {address}: {why}. {way_out} with the setting {setting}.")


def _tcp_sockets(address: Address, setting: str, stack: ExitStack, *, reuse_port: bool) -> list[socket.socket]:
    port = address.port
    sockets: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(
            address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
    except OSError as e:
        raise _failed(address, setting, f"the host is not known here ({e.strerror})") from None
    for family, kind, protocol, _, where in dict.fromkeys(found):
        try:
            made = stack.enter_context(socket.socket(family, kind, protocol))
        except OSError:  # an address of a family that this machine does not have
            continue
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:  # "[::]" takes IPv4 as well, any other address is just itself
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address.host == "::" else 1)
        try:
            made.bind((where[0], port, *where[2:]))
            made.listen(BACKLOG)
        except OSError as e:
            if e.errno == errno.EADDRNOTAVAIL and sockets:
                continue  # "localhost" has an IPv6 address in the hosts file, and the machine has none
            raise _failed(address, setting, _why(e, address)) from None
        port = made.getsockname()[1]  # the same one for each, if any free one is wanted
        sockets.append(made)
    if not sockets:
        raise _failed(address, setting, "this machine has no network of that kind")
    return sockets


def _why(error: OSError, address: Address) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return _IN_USE
        case errno.EADDRNOTAVAIL:
            return "this machine does not have that address"
        case errno.EACCES | errno.EPERM:
            return f"this user may not listen on port {address.port} (below 1024, that needs CAP_NET_BIND_SERVICE)"
        case _:
            return error.strerror or type(error).__name__


@contextmanager
def _unix_socket(address: UnixAddress, setting: str, mode: int) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.setblocking(False)
        _make_way(address, setting)
        before = os.umask(0o777 & ~mode)  # the file is never open to more than `mode` says, not even for a moment
        try:
            made.bind(address.path)
        except OSError as e:
            raise _failed(address, setting, _why_no_file(e), "Choose another path") from None
        finally:
            os.umask(before)
        ours = _identity(address.path)
        try:
            made.listen(BACKLOG)
            yield made
        finally:
            # Whoever took the path over in the meantime keeps it.
            if ours is not None and _identity(address.path) == ours:
                with suppress(OSError):
                    os.unlink(address.path)  # noqa: PTH108  no other path operation here needs pathlib


def _why_no_file(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return _IN_USE
        case errno.ENOENT:
            return "its directory does not exist"
        case errno.ENOTDIR:
            return "a part of the path is no directory"
        case errno.EACCES | errno.EPERM:
            return "this user may not make a file there"
        case _:
            return error.strerror or type(error).__name__


def _make_way(address: UnixAddress, setting: str) -> None:
    """Remove the socket file that a process left which is gone. Raises `ListenFailed` if it is anything else."""
    try:
        found = os.lstat(address.path)
    except OSError:
        return  # not there, or out of reach: then binding says why
    if not stat.S_ISSOCK(found.st_mode):
        raise _failed(address, setting, "there is a file which is no socket", "Choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(address.path)
        except (ConnectionRefusedError, FileNotFoundError):
            pass  # nobody listens there any more
        except (TimeoutError, BlockingIOError):  # somebody listens, and is busy
            raise _failed(address, setting, _IN_USE, "Choose another path") from None
        except OSError as e:
            raise _failed(address, setting, _why_no_file(e), "Choose another path") from None
        else:
            raise _failed(address, setting, _IN_USE, "Choose another path")
    try:
        os.unlink(address.path)  # noqa: PTH108
    except FileNotFoundError:
        return
    except OSError as e:
        why = f"the socket that a process left there cannot be removed ({e.strerror})"
        raise _failed(address, setting, why, "Choose another path") from None


def _identity(path: str) -> tuple[int, int] | None:
    """Which file this is."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
