"""Hooks on a Flask application, in the way of Flask's extensions."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from gateway.config import Settings, load_settings
from gateway.sync.gateway import SyncGateway
from gateway.sync.request import Request
from gateway.sync.wsgi import HooksWsgi, ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Flask

    from gateway.service.embedding import Prepare
    from gateway.sync.wsgi import QueryOf

__all__ = ["Hooks"]

P = ParamSpec("P")
R = TypeVar("R")

NAME: Final = "gateway"


class Hooks:
    """The extension: `hooks = Hooks(app, {"/search": "search"})`, or `hooks.init_app(app)` later.

    What is a query, `query_of` says as for `gateway.sync.HooksWsgi`, and the decorator `query`. `gateway` is one for
    all applications; without it, each gets its own, whose settings are `app.config["GATEWAY"]` (a mapping with the
    sections of the configuration file), or else those of the environment. `prepare` and `control` are those of
    `gateway.sync.SyncGateway`. An application's gateway is `app.extensions["gateway"]`.
    """

    def __init__(
        self,
        app: Flask | None = None,
        query_of: QueryOf | Mapping[str, str] | None = None,
        *,
        gateway: SyncGateway | None = None,
        prepare: Prepare | None = None,
        control: bool = False,
    ) -> None:
        if gateway is not None and (prepare is not None or control):
            raise TypeError("give either a gateway, or prepare and control for those to be opened")
        self._query_of = query_of
        self._gateway = gateway
        self._prepare = prepare
        self._control = control
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Put the hooks around `app`. Raises `ConfigError` if the configuration cannot be used."""
        gateway = self._gateway
        if gateway is None:
            given = app.config.get("GATEWAY")
            settings = load_settings() if given is None else Settings.model_validate(given)
            gateway = SyncGateway(settings, prepare=self._prepare, control=self._control)
        app.extensions[NAME] = gateway
        app.wsgi_app = HooksWsgi(app.wsgi_app, self._query_of, gateway=gateway)  # type: ignore[method-assign]  # Flask's own way

    @staticmethod
    def query(
        query_type: str,
        *,
        capability: str | Callable[[], str | None] | None = None,
        tenant: str | Callable[[], str | None] | None = None,
        params: Callable[[], Any] | None = None,
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """A decorator for views, below `route`: what the view answers is the result of a query of this type.

        `capability` and `tenant` are names or functions that are called in the request's context; `params`, too, and
        without it they are what the view takes from the path and the parameters of the URL.
        """

        def decorated(view: Callable[P, R]) -> Callable[P, R]:
            @wraps(view)
            def asked(*args: P.args, **named: P.kwargs) -> R:
                from flask import current_app, request

                environ = request.environ
                of = Request(environ)
                told = {**named, **of.url_params} if params is None else params()
                query = of.query(query_type, capability=_said(capability), tenant=_said(tenant), params=told)
                ask(environ, query)
                answered: R = current_app.ensure_sync(view)(*args, **named)  # a view may be async
                return answered

            return asked

        return decorated


def _said(value: str | Callable[[], str | None] | None) -> str | None:
    return value() if callable(value) else value
