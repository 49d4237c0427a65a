"""The middleware for WSGI applications: Flask, Django, Pyramid, Bottle, or your own.

Source of the interface: PEP 3333, https://peps.python.org/pep-3333/
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from gateway.errors import GatewayError, HookFailed, QueryRejected
from gateway.model import Result
from gateway.observe.log import get_logger
from gateway.pipeline.debug import HEADER
from gateway.pipeline.http_answer import CONDITIONS, failure, head_after_hooks, is_result, title
from gateway.pipeline.http_query import type_by_path
from gateway.sync.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from gateway.model import Query
    from gateway.sync.gateway import SyncGateway

    QueryOf = Callable[[Request], Query | None]
    Headers = list[tuple[str, str]]
    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

__all__ = ["ASKED", "HooksWsgi", "ask"]

ASKED: Final = "gateway.asked"  # where an application may say which query a request asks
_DEBUG: Final = "HTTP_" + HEADER.upper().replace("-", "_")
_NOT_ON: Final = frozenset("HTTP_" + name.upper().replace("-", "_") for name in CONDITIONS) | {_DEBUG}

log = get_logger("sync")


class HooksWsgi:
    """Runs the JSON answers of the WSGI application `app` through the hooks of `gateway`.

    `query_of(request)` says which query a request asks, or `None` for one that asks none; instead of a function, a
    table does: `{"/search": "search", "/items/*": "items"}` by path, the parameters of the URL being the query's. An
    application may also say it itself, before it begins to answer, with `ask`.

    Only uncompressed JSON answers with status 200 are results; put it inside of compression. Results up to the setting
    `calls.max_result_bytes` are held in memory while hooks run; larger ones pass on with `skipped: size`. Answers that
    no hook is enabled for are not held at all. Where the gateway cannot be opened, answers are as they are without
    hooks, and the log says why.
    """

    def __init__(
        self, app: WSGIApplication, query_of: QueryOf | Mapping[str, str] | None = None, *, gateway: SyncGateway
    ) -> None:
        self.app = app
        self.gateway: Final = gateway
        self._query_of = query_of if callable(query_of) else _by_path(query_of or {})

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, as WSGI has it."""
        asked = _Asked(self.gateway, environ)
        query = self._query_of(Request(environ))
        if query is not None:
            asked.by(query, environ)
        environ[ASKED] = asked
        answering = _Answering(asked, environ["REQUEST_METHOD"], start_response)
        return answering.of(self.app(environ, answering.start))


def ask(environ: WSGIEnvironment, query: Query) -> None:
    """Say from within an application which query the request in `environ` asks.

    To be called before the application begins to answer. Raises `RuntimeError` if the request did not come through
    `HooksWsgi`.
    """
    asked = environ.get(ASKED)
    if asked is None:
        raise RuntimeError("This request did not come through gateway.sync.HooksWsgi: wrap the application in it.")
    asked.by(query, environ)


class _Asked:
    """Which query a request asks, if any, and whether any hook is enabled for it."""

    def __init__(self, gateway: SyncGateway, environ: WSGIEnvironment) -> None:
        self.gateway = gateway
        self.query: Query | None = None
        self.debug: str | None = environ.get(_DEBUG)

    def by(self, query: Query, environ: WSGIEnvironment) -> None:
        """Take the query. The application must not see conditions on a result that hooks may change."""
        try:
            wanted = self.gateway.is_wanted(query)
        except GatewayError as error:  # the answer is what it is without hooks
            log.error("gateway.not_open", error=type(error).__name__, detail=error.detail)  # noqa: TRY400  # no trace
            wanted = False
        self.query = query if wanted else None
        if wanted:
            for name in _NOT_ON:
                environ.pop(name, None)


class _Answering:
    """Takes what the application answers to one request, and gives on what becomes of it."""

    def __init__(self, asked: _Asked, method: str, start_response: StartResponse) -> None:
        self._asked = asked
        self._method = method
        self._start_response = start_response
        self._begun: tuple[str, Headers, ExcInfo | None] | None = None  # held, and not sent yet
        self._held = bytearray()
        self._write: Callable[[bytes], object] | None = None  # once the head is sent
        self._failed = False  # what the application gives is of no use any more

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Callable[[bytes], object]:
        """The application's `start_response`."""
        if self._write is not None:  # too late for another answer: the server raises what happened
            return self._start_response(status, headers, exc_info)
        self._begun = status, headers, exc_info
        self._held.clear()  # of an answer that this one is instead of
        return self.write

    def write(self, piece: bytes) -> None:
        """The application's `write`, which older ones use instead of giving pieces back."""
        if self._write is None and self._keeps(piece):
            return
        assert self._write is not None
        if held := self._released():
            self._write(held)
        if not self._failed:
            self._write(piece)

    def of(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        """What the server gets for `pieces`, the application's."""
        try:
            if self._begun is not None and not self._is_result():
                if self._write is None:
                    self._send_head()
                return pieces  # untouched, so that a server can do with a file what it does with files
            rest = iter(pieces)
            for piece in rest:
                if self._write is not None or not self._keeps(piece):
                    held = [self._released()]
                    return _Pieces(iter(held) if self._failed else chain(held, [piece], rest), pieces)
            if self._write is not None:  # all of it was written, not given back
                return _Pieces(iter(()), pieces)
            if self._begun is None:  # no answer at all: the server says so
                return pieces
            if not self._is_result():
                self._send_head()
                return _Pieces(iter(()), pieces)
            return _Pieces(iter([self._through_hooks()]), pieces)
        except BaseException:
            if (close := getattr(pieces, "close", None)) is not None:
                close()
            raise

    def _is_result(self) -> bool:
        if self._asked.query is None or self._begun is None:
            return False
        status, headers, _ = self._begun
        named = {name.lower(): value for name, value in headers}
        return is_result(self._method, int(status[:3]), named.get("content-type"), named.get("content-encoding"))

    def _keeps(self, piece: bytes) -> bool:
        """Whether `piece` is held; if not, the head is sent, and what was held before it."""
        if self._begun is None:
            return False
        if not self._is_result():
            if not piece:
                return True  # nothing yet: an application may still change its mind
            self._send_head()
            return False
        if len(self._held) + len(piece) <= self._asked.gateway.settings.calls.max_result_bytes:
            self._held += piece
            return True
        self._pass_on(piece)
        return False

    def _send_head(self) -> None:
        assert self._begun is not None
        self._write = _start(self._start_response, *self._begun)

    def _pass_on(self, piece: bytes) -> None:
        """Skip the hooks for the size of the result, unless one must not be skipped; its length stays as it was."""
        assert self._begun is not None
        status, headers, exc_info = self._begun
        failed, told, body = self._answer(bytes(self._held) + piece)
        if failed is None:
            lengths = [(name, value) for name, value in headers if name.lower() == "content-length"]
            told = [(name, value) for name, value in told if name.lower() != "content-length"] + lengths
        else:
            self._failed = True
            self._held[:] = body
        self._write = _start(self._start_response, failed or status, told, exc_info)

    def _released(self) -> bytes:
        held = bytes(self._held)
        self._held.clear()
        return held

    def _through_hooks(self) -> bytes:
        assert self._begun is not None
        status, _, exc_info = self._begun
        failed, headers, body = self._answer(bytes(self._held))
        self._write = _start(self._start_response, failed or status, headers, exc_info)
        return body

    def _answer(self, held: bytes) -> tuple[str | None, Headers, bytes]:
        """The status if it is another one, the headers and the body after the hooks."""
        assert self._begun is not None
        assert self._asked.query is not None
        headers = self._begun[1]
        media = next(value for name, value in headers if name.lower() == "content-type")
        result = Result(held, media.partition(";")[0].strip().lower())
        try:
            answer = self._asked.gateway.run(self._asked.query, result, debug=self._asked.debug)
        except (HookFailed, QueryRejected) as error:
            status, told, body = failure(error)
            return f"{status} {title(status)}", [*told.items(), ("content-length", str(len(body)))], body
        except GatewayError as error:  # it ended while the application answered
            log.error("gateway.not_open", error=type(error).__name__, detail=error.detail)  # noqa: TRY400  # no trace
            return None, headers, held
        return None, head_after_hooks(headers, answer), answer.result.body


class _Pieces:
    """Pieces of an answer; to close them closes those of the application."""

    def __init__(self, pieces: Iterator[bytes], of: Any) -> None:
        self._pieces = pieces
        self._of = of

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces

    def close(self) -> None:
        """Tell the application that the answer is over."""
        if (close := getattr(self._of, "close", None)) is not None:
            close()


def _start(
    start_response: StartResponse, status: str, headers: Headers, exc_info: ExcInfo | None
) -> Callable[[bytes], object]:
    return start_response(status, headers) if exc_info is None else start_response(status, headers, exc_info)


def _by_path(table: Mapping[str, str]) -> QueryOf:
    type_of = type_by_path(table)

    def query_of(request: Request) -> Query | None:
        kind = type_of(request.path)
        return None if kind is None else request.query(kind)

    return query_of
