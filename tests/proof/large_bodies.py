"""Proof that bodies of any size pass through `gateway serve` in constant memory.

    python tests/proof/large_bodies.py --megabytes 5120

Starts a query API and the gateway as processes of their own, and sends through the gateway: a response and an upload of
that size with a length, the same in chunks, and one that says it is a result, with a hook enabled for it, which is
therefore held up to the limit and then passed on. Every byte is compared with what it must be. Prints, for each, the
time and by how much the most memory that the gateway ever had has grown; exits with 1 if a byte is wrong or the memory
grew by more than it may.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

MIB = 1024 * 1024
PATTERN = bytes(range(251)) * (2 * MIB // 251 + 1)  # 251 is prime: no block of a power of two looks like the next
KEY = "an-operator-key-for-the-proof"
GROWS_AT_MOST = 24 * MIB
HELD = 8 * MIB  # calls.max_result_bytes: what is held of a result until it is known to be too large


def pattern(start: int, size: int) -> memoryview:
    """What the body must be from byte `start` on."""
    start %= 251
    return memoryview(PATTERN)[start : start + size]


# ---------------------------------------------------------------- the query API, in a process of its own


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One request on one connection: `/down?…` or `/up`. It says that it closes: an upload cannot be sent once more."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    target = head.split(" ")[1]
    if target == "/up":
        whole, right = await _received(reader, chunked="transfer-encoding: chunked" in head)
        body = json.dumps({"size": whole, "right": right}).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
            % (len(body), body)
        )
    else:
        size, kind, framing = target.partition("?")[2].split(",")
        chunked = framing == "chunked"
        line = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nconnection: close\r\n{line}\r\n\r\n".encode())
        sent = 0
        while left := int(size) - sent:
            piece = pattern(sent, min(left, MIB))
            if chunked:
                writer.write(b"%x\r\n" % len(piece))
            writer.write(piece)
            if chunked:
                writer.write(b"\r\n")
            await writer.drain()
            sent += len(piece)
        if chunked:
            writer.write(b"0\r\n\r\n")
    await writer.drain()
    writer.close()


async def _received(reader: asyncio.StreamReader, *, chunked: bool) -> tuple[int, bool]:
    whole, right = 0, True
    left = 0 if chunked else int((await reader.readexactly(12)).decode())
    ends = not chunked
    while True:
        if chunked and not left:
            left = int(await reader.readuntil(b"\r\n"), 16)
            ends = not left
        if not left and ends:
            if chunked:
                await reader.readexactly(2)
            return whole, right
        piece = await reader.read(min(left, MIB))
        right = right and bool(piece) and piece == pattern(whole, len(piece))
        whole += len(piece)
        left -= len(piece)
        if chunked and not left:
            await reader.readexactly(2)
        if not piece:
            return whole, False


async def query_api() -> None:
    """Serve until the process ends; its port is the first line."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0, limit=MIB)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


# ---------------------------------------------------------------- the gateway


class Gateway:
    """A gateway in a process of its own, in front of the query API on `port`, with one hook for the type `query`."""

    def __init__(self, port: int, folder: Path) -> None:
        file = folder / "gateway.toml"
        file.write_text(f"""
            listen = "127.0.0.1:0"
            [[routes]]
            path = "/*"
            upstream = "http://127.0.0.1:{port}"
            methods = ["GET"]
            [control]
            listen = "127.0.0.1:0"
            operator_keys = ["{KEY}"]
            [store]
            url = "memory:"
            [calls]
            allow_http = true
            allow = ["127.0.0.0/8"]
            require_ownership = false
            max_result_bytes = {HELD}
        """)
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(file), "--json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline())
        self._control: str = told["control_url"]
        self.port = int(told["gateway_url"].rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate(timeout=60)

    def enable_hook(self) -> None:
        """A hook that is never reached: what is too large for it must not be sent."""
        made = self._call("/v1/integrations", {"name": "never", "base_url": "http://127.0.0.1:9"})
        hook = self._call(f"/v1/hooks?integration={made['id']}", {"name": "never", "path": "/never"})
        self._call(f"/v1/hooks/{hook['id']}/enable?integration={made['id']}", {})

    def peak(self) -> int:
        """The most memory that it ever had, in bytes."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        request = urllib.request.Request(self._control + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)


# ---------------------------------------------------------------- what is sent through it


@dataclass(frozen=True)
class Way:
    """One way through the gateway."""

    name: str
    upload: bool = False
    chunked: bool = False
    result: bool = False


WAYS = (
    Way("response with a length"),
    Way("response in chunks", chunked=True),
    Way("response that is a result too large for hooks", result=True),
    Way("upload with a length", upload=True),
    Way("upload in chunks", upload=True, chunked=True),
)


def pass_through(gateway: Gateway, way: Way, size: int) -> bool:
    """Whether every byte came through."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=120) as connection:
        if not way.upload:
            kind = "application/json" if way.result else "text/plain"
            framing = "chunked" if way.chunked else "length"
            target = f"/down?{size},{kind},{framing}"
            connection.sendall(f"GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            return _is_right(connection, size, chunked=way.chunked)
        _upload(connection, size, chunked=way.chunked)
        with connection.makefile("rb") as answered:
            told = json.loads(answered.read().partition(b"\r\n\r\n")[2])
        return told == {"size": size, "right": True}


def _upload(connection: socket.socket, size: int, *, chunked: bool) -> None:
    line = "transfer-encoding: chunked" if chunked else f"content-length: {size + 12}"
    connection.sendall(f"PUT /up HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{line}\r\n\r\n".encode())
    if not chunked:
        connection.sendall(b"%12d" % size)
    sent = 0
    while sent < size:
        piece = pattern(sent, min(size - sent, MIB))
        if chunked:
            connection.sendall(b"%x\r\n" % len(piece))
        connection.sendall(piece)
        if chunked:
            connection.sendall(b"\r\n")
        sent += len(piece)
    if chunked:
        connection.sendall(b"0\r\n\r\n")


def _is_right(connection: socket.socket, size: int, *, chunked: bool) -> bool:
    with io.BufferedReader(socket.SocketIO(connection, "r"), MIB) as reader:
        status = reader.readline()
        while reader.readline() != b"\r\n":
            pass
        got = 0
        left = 0 if chunked else size
        while True:
            if chunked and not left:
                left = int(reader.readline(), 16)
            if not left:
                return status.startswith(b"HTTP/1.1 200") and got == size
            piece = reader.read1(min(left, MIB))
            if not piece or piece != pattern(got, len(piece)):
                return False
            got += len(piece)
            left -= len(piece)
            if chunked and not left:
                reader.readline()


def prove(size: int) -> bool:
    """Every way; whether all came through and the memory stayed within its bound."""
    good = True
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, os.fspath(Path(__file__)), "--query-api"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as api:
            try:
                assert api.stdout is not None
                with Gateway(int(api.stdout.readline()), Path(folder)) as gateway:
                    gateway.enable_hook()
                    for warm in WAYS:  # what is imported, made and kept once is no growth
                        good = pass_through(gateway, warm, MIB) and good
                    for way in WAYS:
                        before, begun = gateway.peak(), time.monotonic()
                        right = pass_through(gateway, way, size)
                        seconds, grown = time.monotonic() - begun, gateway.peak() - before
                        within = grown <= GROWS_AT_MOST + (2 * HELD if way.result else 0)
                        good = good and right and within
                        print(
                            f"{way.name}: {size / MIB:.0f} MiB in {seconds:.1f} s, {size / MIB / seconds:.0f} MiB/s, "
                            f"{grown / MIB:.1f} MiB more at the peak ({gateway.peak() / MIB:.0f} MiB)"
                            f"{'' if right else ', WRONG BYTES'}{'' if within else ', TOO MUCH'}",
                            flush=True,
                        )
            finally:
                api.terminate()
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=5 * 1024)
    parser.add_argument("--query-api", action="store_true")
    given = parser.parse_args()
    if given.query_api:
        asyncio.run(query_api())
    sys.exit(0 if prove(given.megabytes * MIB) else 1)
