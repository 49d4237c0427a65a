"""What can be wrong with an answer or its connection, in words."""

from __future__ import annotations

import ssl

from gateway.errors import UpstreamFailed

__all__ = ["endless_interim", "given_up", "lost", "unasked_switch"]


def lost(error: Exception | None, when: str | None) -> UpstreamFailed:
    """The connection has ended, by a reset or another `error`, or in order. `when`: if not in the body of an answer."""
    if isinstance(error, ssl.SSLError):  # since TLS 1.3, a client certificate is judged after the handshake
        why = (error.reason or "no reason given").replace("_", " ").lower()
        return UpstreamFailed(f"The query API behind the gateway ended the TLS connection: {why}.", reason="tls")
    how = "closed" if error is None else "reset"
    where = when or "in the middle of its answer"
    return UpstreamFailed(f"The query API behind the gateway {how} the connection {where}.", reason="broke_off")


def unasked_switch() -> UpstreamFailed:
    """A 101 that was not asked for."""
    return UpstreamFailed(
        "The query API behind the gateway switches to another protocol (101), which was not asked for.",
        reason="protocol",
    )


def endless_interim() -> UpstreamFailed:
    """Too many 1xx."""
    return UpstreamFailed(
        "The query API behind the gateway sends interim (1xx) answers without end.", reason="protocol"
    )


def given_up() -> UpstreamFailed:
    """Somebody reads on after `release`."""
    return UpstreamFailed("The answer of the query API behind the gateway was given up.")
