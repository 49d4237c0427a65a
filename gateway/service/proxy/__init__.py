"""The standalone gateway: what becomes of a request between the server (`front`) and the query APIs (`upstream`).

`handler` is the way of a request. `paths` and `routes` say which route it takes and which query it is, from what
`asked` and `reading` find in it; `heads`, `forwarded` and `validators` are the rules of RFC 9110 and 9111 for an
intermediary; `results` takes a result through its hooks; `passing` streams everything else, untouched, both ways.
`configured` makes all that from the settings.
"""

from gateway.service.proxy.configured import handler_of, limits_of, opened_upstreams, route_of
from gateway.service.proxy.handler import proxy_handler, pseudonym
from gateway.service.proxy.routes import Route

__all__ = ["Route", "handler_of", "limits_of", "opened_upstreams", "proxy_handler", "pseudonym", "route_of"]
