"""The standalone gateway: in front of a query API, over HTTP.

`routing` says whether a request is a query and which one, `forwarding` speaks to the upstream, `app` puts the
two around the chain. What is no result streams through, both ways, untouched.
"""

from gateway.service.proxy.app import proxy_app
from gateway.service.proxy.routing import Route, Take

__all__ = ["Route", "Take", "proxy_app"]
