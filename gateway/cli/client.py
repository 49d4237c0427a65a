"""The client of the control API: standard library only, one time limit for a whole call."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode, urlsplit

from gateway import __version__
from gateway.cli.failures import Failure, Misuse, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT_SECONDS: Final = 15.0
_MAX_BYTES: Final = 64 * 1024 * 1024


class ControlClient:
    """Calls of the control API at `url`, with the bearer key `key`, if it is not empty.

    `url` is `http://…`, `https://…`, or `http+unix:///path` for a Unix socket.
    Raises `Misuse` for a URL that cannot be used.
    """

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        self._socket: Final = socket_path(url)
        usable = parts.scheme in {"http", "https"} and host
        if self._socket is None and (not usable or "@" in parts.netloc or parts.query or parts.fragment):
            raise Misuse(
                f"{url!r} is not the URL of a control API, such as http://127.0.0.1:8081 or "
                "http+unix:///run/query-hook-gateway/control.sock; check --url or GATEWAY_URL."
            )
        self._url: Final = url.rstrip("/")
        self._secure: Final = parts.scheme == "https"
        self._host: Final = host
        self._port: Final = port
        self._base: Final = parts.path.rstrip("/") if self._socket is None else ""
        self._key: Final = key

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | None] | None = None,
        body: Any = None,
        if_version: int | None = None,
        idempotency_key: str | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> Any:
        """One call; the JSON document of the answer, or `None` without one.

        `if_version` makes it a change of that version only; with an `idempotency_key` it is done once. Raises
        `Unreachable` without an answer in time, `Failure` where the answer is a no.
        """
        given = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self._base}{path}" + (f"?{urlencode(given)}" if given else "")
        headers = {
            **({"authorization": f"Bearer {self._key}"} if self._key else {}),
            "accept": "application/json, application/problem+json",
            "user-agent": f"gateway-cli/{__version__}",
            "connection": "close",
        }
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        if if_version is not None:
            headers["if-match"] = f'"{if_version}"'
        if idempotency_key is not None:
            headers["idempotency-key"] = idempotency_key
        connection = self._connection(timeout_seconds)
        # The socket's own time limit holds for one read; a server that sends a byte now and then would outlive it.
        ended = threading.Event()
        watch = threading.Timer(timeout_seconds, _end, (connection, ended))
        watch.daemon = True
        watch.start()
        try:
            connection.request(method, target, content, headers)
            response = connection.getresponse()
            received = response.read(_MAX_BYTES + 1)
            if len(received) > _MAX_BYTES:
                raise HTTPException(f"its answer is larger than {_MAX_BYTES} bytes")
            if ended.is_set():
                raise TimeoutError
        except (OSError, HTTPException) as error:
            if ended.is_set() or isinstance(error, TimeoutError):
                raise Unreachable(
                    f"The gateway at {self._url} did not answer within {timeout_seconds:g} s; "
                    "try again, or check its log."
                ) from None
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unreachable(
                f"The gateway at {self._url} could not be reached ({why}); "
                "start it with `gateway serve`, or give its control API with --url or GATEWAY_URL."
            ) from None
        finally:
            watch.cancel()
            connection.close()
        return self._judge(response, received)

    def _connection(self, timeout_seconds: float) -> HTTPConnection:
        if self._socket is not None:
            return _UnixConnection(self._socket, timeout_seconds)
        assert self._host is not None  # as checked at the start
        kind = HTTPSConnection if self._secure else HTTPConnection
        return kind(self._host, self._port, timeout=timeout_seconds)

    def pages(self, path: str, *, query: Mapping[str, str | None] | None = None) -> Iterator[Any]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            document = self.call("GET", path, query={**(query or {}), "limit": "500", "cursor": cursor})
            items = document.get("items") if isinstance(document, dict) else None
            if not isinstance(items, list) or not all(
                isinstance(i, dict) and {"id", "name"} <= i.keys() for i in items
            ):
                raise self._no_control_api("a list was asked for")
            yield from items
            cursor = document.get("next_cursor")
            if not cursor:
                return

    def _judge(self, response: HTTPResponse, received: bytes) -> Any:
        media_type = (response.getheader("content-type") or "").partition(";")[0].strip().lower()
        document = None
        if received and (media_type == "application/json" or media_type.endswith("+json")):
            try:
                document = json.loads(received)
            except ValueError:
                media_type = ""
        if 200 <= response.status < 300 and (document is not None or not received):
            return document
        if isinstance(document, dict) and media_type == "application/problem+json":
            raise Failure(self._sentence(response.status, document), problem=document)
        raise self._no_control_api(f"status {response.status}, content-type {media_type or 'unusable'!r}")

    def _no_control_api(self, why: str) -> Failure:
        return Failure(f"{self._url} does not answer like a control API ({why}); check --url or GATEWAY_URL.")

    @staticmethod
    def _sentence(status: int, problem: Mapping[str, Any]) -> str:
        text = str(problem.get("detail") or problem.get("title") or f"The gateway answered with status {status}.")
        errors = [error for error in problem.get("errors") or () if isinstance(error, dict)]
        if errors:  # the detail is all of them in one line
            text = "The gateway does not accept this:"
            text += "".join(f"\n  {error.get('field') or '/'}: {error.get('detail')}" for error in errors)
        if status == 401:
            text += "\nGive a valid key with GATEWAY_KEY, --key-file or --key."
        elif status == 412:
            text += "\nRead it again with `show`, then repeat the change."
        return text


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def socket_path(url: str) -> str | None:
    """The path in `http+unix:///path`; `None` if the URL is not of that kind."""
    scheme, mark, path = url.partition("+unix://")
    return path.rstrip("/") if scheme == "http" and mark and path.startswith("/") and path.strip("/") else None


def _end(connection: HTTPConnection, ended: threading.Event) -> None:
    """Make whoever waits for the connection stop waiting."""
    ended.set()
    with contextlib.suppress(OSError, AttributeError):  # not connected yet, or closed just now
        connection.sock.shutdown(socket.SHUT_RDWR)
