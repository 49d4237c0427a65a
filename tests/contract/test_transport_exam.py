"""The project's own transport passes the shared exam, on both event loops."""

from __future__ import annotations

import uvloop

from gateway.testing.transport_exam import TransportExam
from gateway.transport.client import HttpTransport


class TestHttpTransport(TransportExam):
    def open_transport(self, guard, ssl_context):
        return HttpTransport(guard, ssl_context=ssl_context)


class TestHttpTransportOnUvloop(TestHttpTransport):
    def new_loop(self):
        return uvloop.new_event_loop()
