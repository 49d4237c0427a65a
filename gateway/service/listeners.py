"""Where a gateway listens: what its settings say, or what systemd made for it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.observe.log import get_logger
from gateway.service.activation import CONTROL, GATEWAY, handed_over
from gateway.service.sockets import Listener, bound, listener_of
from gateway.service.workers.sockets import bound_for_each

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, MutableMapping

    from gateway.config import Address, ControlSettings, ServerSettings, Settings, UnixAddress

__all__ = ["Listeners", "listeners_of"]

_log = get_logger("serve")


@dataclass(frozen=True, slots=True)
class Listeners:
    """Where the control API listens and, if there is any upstream, the standalone gateway.

    `groups` are the sockets of the latter for each worker.
    """

    control: Listener
    queries: Listener | None
    groups: tuple[tuple[socket.socket, ...], ...] = ()

    @property
    def gateway_url(self) -> str | None:
        """The URL of the standalone gateway, if it is served."""
        return None if self.queries is None else self.queries.url


@contextmanager
def listeners_of(settings: Settings, environment: MutableMapping[str, str] | None = None) -> Iterator[Listeners]:
    """The sockets that the settings want, bound and listening, until the context ends.

    What systemd handed over, by `environment`, is taken instead of the address of the same purpose.
    Raises `ListenFailed`.
    """
    with ExitStack() as stack:
        given = handed_over(environment) if environment is not None else {}
        for sockets in given.values():
            for each in sockets:
                stack.enter_context(each)
        if GATEWAY in given and not settings.effective_routes():
            _log.warning("serve.socket_not_served", socket=GATEWAY, why="no upstream is configured")
        control = _listener(settings.control, settings.control.listen, "control.listen", given.get(CONTROL), stack)
        queries = None
        groups: tuple[tuple[socket.socket, ...], ...] = ()
        if settings.effective_routes():
            if settings.workers > 1 and GATEWAY not in given:
                mode = int(settings.server.socket_mode, 8)
                groups = stack.enter_context(bound_for_each(settings.listen, "listen", settings.workers, mode=mode))
                queries = listener_of(groups[0], "listen", _scheme(settings.server))
            else:
                queries = _listener(settings.server, settings.listen, "listen", given.get(GATEWAY), stack)
                groups = (queries.sockets,) * settings.workers
        yield Listeners(control, queries, groups)


def _listener(
    section: ControlSettings | ServerSettings,
    address: Address | UnixAddress,
    setting: str,
    given: list[socket.socket] | None,
    stack: ExitStack,
) -> Listener:
    scheme = _scheme(section)
    if given is not None:
        return listener_of(given, setting, scheme, handed_over=True)
    made = stack.enter_context(bound(address, setting, mode=int(section.socket_mode, 8)))
    return listener_of(made, setting, scheme)


def _scheme(section: ControlSettings | ServerSettings) -> str:
    return "http" if section.tls_certificate is None else "https"
