"""The HTTP/1.1 client of the standalone gateway to the query APIs behind it.

Bodies stream both ways with backpressure and constant memory. `upstream` sends requests and keeps the promise about
retries; `server` is one server with its `pool` of connections and its `health`; `connection` does one exchange at a
time; `heads` and `chunks` read what comes, strictly. Unlike `gateway.transport`, which calls addresses that others have
registered, it goes where the operator says, and judges no address.

What fails is an `UpstreamFailed` with one of these reasons: `refused`, `dns` and `tls` (no connection), `timeout`,
`broke_off` (the connection ended before or in an answer), `protocol` (what came is not HTTP/1.1, or could be taken in
two ways), `busy` (all connections in use), `down` (not even tried), `failed` (anything else).
"""

from gateway.service.upstream.answer import UpstreamAnswer
from gateway.service.upstream.connect import tls_context
from gateway.service.upstream.health import UpstreamState, UpstreamStatus
from gateway.service.upstream.limits import Limits
from gateway.service.upstream.upstream import Upstream, Upstreams

__all__ = ["Limits", "Upstream", "UpstreamAnswer", "UpstreamState", "UpstreamStatus", "Upstreams", "tls_context"]
