"""The project's own transport passes the shared exam, on both event loops."""

from __future__ import annotations

from typing import ClassVar

import uvloop

from gateway.errors import TimedOut
from gateway.testing.transport_exam import TransportExam
from gateway.transport.aiohttp_client import AiohttpTransport
from gateway.transport.client import HttpTransport


class TestHttpTransport(TransportExam):
    def open_transport(self, guard, ssl_context):
        return HttpTransport(guard, ssl_context=ssl_context)


class TestHttpTransportOnUvloop(TestHttpTransport):
    def new_loop(self):
        return uvloop.new_event_loop()


class TestAiohttpTransport(TransportExam):
    """The reference. Its parser forgives what ours refuses, and it does not watch connections that are idle."""

    otherwise: ClassVar = {"/endless-extension": TimedOut}
    forgives: ClassVar = frozenset({"/leading-lines", "/bare-lf", "/folded", "/continue-flood", "/half-pipelined"})
    test_a_reply_that_comes_while_the_connection_is_idle_closes_it = None

    def open_transport(self, guard, ssl_context):
        return AiohttpTransport(guard, ssl_context=ssl_context)
