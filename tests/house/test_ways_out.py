"""Calls to integration servers have one way out, where the guard stands: no other module opens connections."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

GATEWAY = Path(__file__).parents[2] / "gateway"
# Modules that can connect to something, and what they connect to; it is never what an integration named.
OTHERS = {
    "service/control_site.py": "makes the session of the data source",
    "service/sockets.py": "listens; connects to a Unix socket of its own address only, to see whether anyone answers",
    "service/front/outgoing.py": "sets an option of a connection that a client made",
    "service/front/front.py": "asks for the family of a socket that listens",
    "service/activation.py": "takes listening sockets from systemd",
    "service/notify.py": "tells systemd on the socket that it names",
    "service/site.py": "asks for the family of a socket that listens",
    "service/data_source.py": "the data source that the operator configured",
    "service/workers/__main__.py": "sockets that the supervisor hands over",
    "service/workers/member.py": "the link to a worker, a socket pair",
    "cli/client.py": "the control API, from the command line",
    "cli/listen.py": "the server on the user's own machine that calls are brought to",
    "receiver/control/sync_calls.py": "the control API, from an integration server",
    "service/upstream/connect.py": "the query APIs that the operator configured",
    "receiver/control/async_calls.py": "the control API, from an integration server in an event loop",
    "cli/demo/run.py": "the demo's own servers on loopback",
    "cli/demo/integration_server.py": "the demo's own gateway",
}
CONNECTING_MODULES = {
    "socket",
    "http.client",
    "urllib.request",
    "ftplib",
    "smtplib",
    "telnetlib",
    "requests",
    "httpx",
    "urllib3",
    "websockets",
    "aiohappyeyeballs",
}
CONNECTING_NAMES = {
    "ClientSession",
    "TCPConnector",
    "open_connection",
    "create_connection",
    "create_datagram_endpoint",
    "sock_connect",
    "getaddrinfo",
    "start_connection",
    "HTTPConnection",
    "HTTPSConnection",
    "urlopen",
}


def ways_out(path: Path) -> set[str]:
    """What in a module could open a connection."""
    found = set()
    typing_only = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            typing_only |= {id(inner) for inner in ast.walk(node)}
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & CONNECTING_MODULES
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module} & CONNECTING_MODULES
            found |= {alias.name for alias in node.names} & CONNECTING_NAMES
        elif isinstance(node, ast.Attribute):
            found |= {node.attr} & CONNECTING_NAMES
    return found


MODULES = {
    str(path.relative_to(GATEWAY)): path
    for path in sorted(GATEWAY.rglob("*.py"))
    if path.relative_to(GATEWAY).parts[0] not in {"transport", "testing"}
}


@pytest.mark.parametrize("name", MODULES)
def test_no_module_but_the_transport_opens_connections_for_integrations(name):
    found = ways_out(MODULES[name])
    assert not found or name in OTHERS, f"{name} uses {found}"


def test_the_exceptions_exist():
    assert [name for name in OTHERS if name not in MODULES] == []
