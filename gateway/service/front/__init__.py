"""The HTTP/1.1 server of the standalone gateway: what clients speak to.

Takes requests off sockets, refuses what is not unambiguously one request (RFC 9112), and hands each to a handler that
answers it. Knows nothing of routes, hooks and query APIs. It is an `asyncio.Protocol` of its own: a gateway answers
many small queries, and what a general server costs for each would be most of the gateway's work.
"""

from gateway.service.front.access import Access
from gateway.service.front.exchange import Exchange, Handler
from gateway.service.front.front import Front
from gateway.service.front.refusal import ClientGone, RequestRefused
from gateway.service.front.settings import FrontSettings

__all__ = ["Access", "ClientGone", "Exchange", "Front", "FrontSettings", "Handler", "RequestRefused"]
