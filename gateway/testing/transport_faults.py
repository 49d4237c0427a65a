"""The part of the transport exam about servers that are broken, hostile or slow, and callers that give up."""
# ruff: noqa: D102 - a test's name says what it holds

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, cast

import pytest

from gateway.errors import CallError, ConnectFailed, ProtocolViolated, ReplyTooLarge, TimedOut
from gateway.testing.transport_bench import AMPLE, JSON, LIMITS, SOON, CasesOnABench, case
from gateway.transport import AddressGuard, Limits, parse_endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["BROKEN", "FaultCases"]

BROKEN: Final[Mapping[str, type[CallError]]] = {
    "/hang-up": ConnectFailed,
    **dict.fromkeys(
        (
            "/cut-head",
            "/cut-body",
            "/cut-chunk",
            "/no-last-chunk",
            "/garbage",
            "/http09",
            "/http2",
            "/icecast",
            "/status-000",
            "/status-999",
            "/leading-lines",
            "/bare-lf",
            "/folded",
            "/nul-header",
            "/space-before-colon",
            "/two-lengths",
            "/length-list",
            "/length-negative",
            "/length-and-chunked",
            "/chunked-and-length",
            "/transfer-gzip",
            "/transfer-identity",
            "/chunk-garbage",
            "/chunk-overrun",
            "/unknown-encoding",
            "/two-encodings",
            "/encoded-twice",
            "/gzip-cut",
            "/gzip-trailing",
            "/gzip-garbage",
            "/upgrade",
            "/continue-flood",
        ),
        ProtocolViolated,
    ),
    **dict.fromkeys(
        (
            "/long-header",
            "/many-headers",
            "/endless-header",
            "/endless-headers",
            "/endless-body",
            "/endless-extension",
            "/endless-trailers",
            "/big?size=100001",
            "/big?size=100001&chunked",
            "/gzip-bomb",
        ),
        ReplyTooLarge,
    ),
    **dict.fromkeys(("/hang", "/drip", "/slow"), TimedOut),
}


class FaultCases(CasesOnABench):
    """Every fault is the right error, in time, within the caps, and leaves nothing behind."""

    @pytest.mark.parametrize(("path", "error"), BROKEN.items())
    @case
    async def test_a_fault_is_the_right_error_and_closes_the_connection(
        self, path: str, error: type[CallError]
    ) -> None:
        expected = self.otherwise.get(path, error)
        async with self.bench() as call:
            seconds = SOON if expected is TimedOut else AMPLE
            if path in self.forgives:
                with suppress(CallError):
                    await call(path, seconds=seconds)
                return
            with pytest.raises(expected) as caught:
                await call(path, seconds=seconds)
            await call.server.no_connections()
            assert (await call("/unchanged")).status == 204
        assert type(caught.value) is expected
        assert caught.value.detail.endswith(".")

    @pytest.mark.parametrize("path", ["/big?size={}", "/big?size={}&chunked"])
    @case
    async def test_a_body_of_exactly_the_cap_is_taken(self, path: str) -> None:
        async with self.bench() as call:
            reply = await call(path.format(LIMITS.body))
        assert LIMITS.body == len(reply.body)

    @pytest.mark.parametrize("path", ["/big?size=100001", "/big?size=100001&chunked", "/gzip-bomb"])
    @case
    async def test_a_reply_with_too_large_a_body_still_tells_its_status(self, path: str) -> None:
        async with self.bench() as call:
            with pytest.raises(ReplyTooLarge) as caught:
                await call(path)
        assert caught.value.status == 200

    @case
    async def test_a_deadline_in_the_past_makes_no_connection(self) -> None:
        async with self.bench() as call:
            for seconds in (0.0, -1.0):
                with pytest.raises(TimedOut):
                    await call("/unchanged", seconds=seconds)
            assert (call.server.accepted, call.server.requests) == (0, [])

    @case
    async def test_the_deadline_holds_for_a_call_on_a_connection_that_served_longer_ones(self) -> None:
        async with self.bench() as call:
            await call("/unchanged", seconds=AMPLE)
            with pytest.raises(TimedOut):
                await call("/hang", seconds=SOON)

    @case
    async def test_an_earlier_deadline_does_not_cut_off_a_later_call(self) -> None:
        async with self.bench() as call:
            await call("/unchanged")
            await call("/unchanged", seconds=5 * SOON)
            waiting = asyncio.create_task(call("/slow", seconds=AMPLE))
            await call.server.arrived(3)
            await asyncio.sleep(6 * SOON)  # past the earlier deadline
            call.server.release()
            assert (await waiting).status == 204
            assert call.server.accepted == 1

    @pytest.mark.parametrize("scheme", ["http", "https"])
    @case
    async def test_the_deadline_covers_the_handshake_and_sending(self, scheme: str) -> None:
        async with _mute_server() as (port, mute):
            transport = self.open_transport(AddressGuard(["127.0.0.0/8"], allow_http=True), None)
            endpoint = parse_endpoint(f"{scheme}://127.0.0.1:{port}/")
            with pytest.raises(TimedOut):
                await transport.exchange(
                    endpoint, "POST", JSON, bytes(20_000_000), deadline=_now() + SOON, limits=LIMITS
                )
            await mute.gone()
            await transport.aclose()

    @pytest.mark.parametrize("path", ["/hang", "/drip", "/endless-body"])
    @case
    async def test_cancelling_a_call_closes_its_connection(self, path: str) -> None:
        async with self.bench() as call:
            waiting = asyncio.create_task(call(path, limits=Limits(body=10**12)))
            await call.server.arrived()
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await call.server.no_connections()

    @case
    async def test_cancelling_a_call_during_the_tls_handshake_closes_its_connection(self) -> None:
        async with _mute_server() as (port, mute):
            transport = self.open_transport(AddressGuard(["127.0.0.0/8"]), None)
            endpoint = parse_endpoint(f"https://127.0.0.1:{port}/")
            waiting = asyncio.create_task(
                transport.exchange(endpoint, "POST", JSON, b"", deadline=_now() + AMPLE, limits=LIMITS)
            )
            await asyncio.sleep(SOON)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await mute.gone()
            await transport.aclose()

    @case
    async def test_closing_the_transport_ends_calls_in_flight_and_refuses_later_ones(self) -> None:
        async with self.bench() as call:
            waiting = [asyncio.create_task(call(path, pool=path)) for path in ("/hang", "/drip")]
            await call.server.arrived(2)
            await call.transport.aclose()
            for task in waiting:
                with pytest.raises(ConnectFailed):
                    await task
            with pytest.raises(ConnectFailed):
                await call("/unchanged")
            await call.transport.aclose()


def _now() -> float:
    return asyncio.get_running_loop().time()


class _Mute(asyncio.Protocol):
    """Accepts, and then neither reads nor answers until it is asked whether its client is gone."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()

    async def gone(self) -> None:
        """Return once the client closed the connection."""
        assert self._transport is not None
        self._transport.resume_reading()
        await self._gone.wait()


@asynccontextmanager
async def _mute_server() -> AsyncIterator[tuple[int, _Mute]]:
    mute = _Mute()
    server = await asyncio.get_running_loop().create_server(lambda: mute, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], mute
    finally:
        server.close()
        await server.wait_closed()
