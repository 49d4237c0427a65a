"""What is told of the gateway itself, to anyone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson

from gateway.observe.metrics import CONTENT_TYPE
from gateway.service.auth import Access
from gateway.service.endpoint import JSON, Answer, Call, Operation, Out
from gateway.service.models.base import Nothing, rfc3339
from gateway.service.models.queries import Alive, CertificateShown, Ready, UpstreamShown
from gateway.service.readiness import Report

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from gateway.observe.metrics import GatewayMetrics
    from gateway.registry import Registry
    from gateway.service.processes import Processes

__all__ = ["MetaRoutes"]

_TAG: Final = "gateway"


class MetaRoutes:
    """Health, readiness, metrics and the API's own description.

    `describe` gives the OpenAPI document; it is asked once, when all operations are known. `processes` are the others
    that answer queries.
    """

    def __init__(
        self,
        registry: Registry,
        metrics: GatewayMetrics,
        ready: Callable[[], Awaitable[Report | None]],
        describe: Callable[[], dict[str, Any]],
        processes: Processes,
    ) -> None:
        self._registry = registry
        self._metrics = metrics
        self._ready = ready
        self._describe = describe
        self._processes = processes
        self._document: bytes | None = None

    def operations(self) -> Sequence[Operation[Any, Any]]:
        """All of them, described."""
        return (
            Operation(
                "GET", "/healthz", self._alive, "isAlive", "Whether the process answers",
                _TAG, Access.ANYONE, query=Nothing, body=Nothing, out={200: Out("It does.", Alive)},
            ),
            Operation(
                "GET", "/readyz", self._is_ready, "isReady", "Whether the gateway can do its work",
                _TAG, Access.ANYONE, query=Nothing, body=Nothing, errors=(503,),
                description="503 while the gateway is draining, while a worker is not ready, while no upstream can be "
                "reached, and while the store cannot be read; queries go on then, from the last snapshot.",
                out={200: Out("It can.", Ready)},
            ),
            Operation(
                "GET", "/metrics", self._measured, "readMetrics", "Metrics for Prometheus",
                _TAG, Access.ANYONE, query=Nothing, body=Nothing,
                out={200: Out("Prometheus text format.", media_type="text/plain")},
            ),
            Operation(
                "GET", "/openapi.json", self._described, "readDescription", "This document",
                _TAG, Access.ANYONE, query=Nothing, body=Nothing,
                out={200: Out("OpenAPI 3.1.", media_type=JSON)},
            ),
        )  # fmt: skip

    async def _alive(self, _call: Call[Nothing, Nothing]) -> Answer:
        return Answer(Alive())

    async def _is_ready(self, _call: Call[Nothing, Nothing]) -> Answer:
        report = await self._ready() or Report()
        snapshot = self._registry.snapshot
        return Answer(
            Ready(
                generation=snapshot.generation,
                enabled_hooks=snapshot.enabled_count,
                upstreams=[UpstreamShown(url=each.url, state=each.state, why=each.why) for each in report.upstreams],
                certificates=[
                    CertificateShown(
                        of=each.section,
                        not_after=None if each.not_after is None else rfc3339(each.not_after),
                        expired=each.expired,
                    )
                    for each in report.certificates
                ],
            )
        )

    async def _measured(self, _call: Call[Nothing, Nothing]) -> Answer:
        await self._processes.refresh()
        self._metrics.tidy()
        # Many series take a while to write out; queries must not wait for that.
        return Answer(await asyncio.to_thread(self._metrics.render, self._processes.metrics), content_type=CONTENT_TYPE)

    async def _described(self, _call: Call[Nothing, Nothing]) -> Answer:
        if self._document is None:
            self._document = orjson.dumps(self._describe())
        return Answer(self._document)
