"""The one way out of the process: HTTP calls to integration servers.

What may live here: the seam (`protocol`), the judgement of URLs and addresses (`endpoint`, `address`), and
the clients behind the seam. Nothing here knows hooks, signatures or reply forms. Imports `errors` only.
"""

from gateway.transport.address import AddressGuard
from gateway.transport.endpoint import parse_endpoint
from gateway.transport.protocol import Endpoint, Limits, Response, Transport

__all__ = ["AddressGuard", "Endpoint", "Limits", "Response", "Transport", "parse_endpoint"]
