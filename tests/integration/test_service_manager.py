"""What systemd is told, over a real datagram socket, and which sockets are taken from it."""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import subprocess
import sys

import pytest

from gateway.errors import ListenFailed
from gateway.service.activation import handed_over
from gateway.service.notify import ServiceManager


@pytest.fixture
def manager(tmp_path):
    """A socket that is told, and its path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        path = str(tmp_path / "notify")
        made.bind(path)
        made.settimeout(30)
        yield made, path


def said(made):
    return made.recv(4096).decode().split("\n")


def test_the_manager_is_told_of_start_reload_and_end(manager):
    made, path = manager
    told = ServiceManager({"NOTIFY_SOCKET": path}, clock=lambda: 12.5)
    told.ready("Serving")
    assert said(made) == ["READY=1", "STATUS=Serving"]
    told.reloading()
    assert said(made)[:2] == ["RELOADING=1", "MONOTONIC_USEC=12500000"]
    told.stopping("Draining", 2.5)
    assert said(made) == ["STOPPING=1", "STATUS=Draining", "EXTEND_TIMEOUT_USEC=2500000"]


def test_an_abstract_address_is_told_too():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(f"\0gateway-test-{os.getpid()}")
        made.settimeout(30)
        ServiceManager({"NOTIFY_SOCKET": f"@gateway-test-{os.getpid()}"}).ready("Serving")
        assert said(made)[0] == "READY=1"


def test_the_variables_are_taken_out_so_that_no_child_believes_they_are_for_it(manager):
    environment = {"NOTIFY_SOCKET": manager[1], "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7", "HOME": "/"}
    told = ServiceManager(environment, process=7)
    assert environment == {"HOME": "/"}
    assert told.watchdog_seconds == 3


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_for_the_process_that_it_names(given, seconds):
    assert ServiceManager(dict(given), process=7).watchdog_seconds == seconds


async def test_the_watchdog_hears_from_the_event_loop_while_it_runs(manager):
    made, path = manager
    told = ServiceManager({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000"})
    async with told.watched():
        assert await asyncio.to_thread(said, made) == ["WATCHDOG=1"]
        assert await asyncio.to_thread(said, made) == ["WATCHDOG=1"]


@pytest.mark.parametrize("where", ["", "vsock:2:1234", "/nowhere/at/all"])
def test_without_a_manager_that_can_be_reached_nothing_is_told_and_nothing_fails(where):
    ServiceManager({"NOTIFY_SOCKET": where} if where else {}).ready("Serving")


# Descriptors begin at 3, which this process may be using: each case runs in one of its own.
_TAKE = """
import os, sys
from gateway.errors import ListenFailed
from gateway.service.activation import handed_over
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    found = handed_over(os.environ)
except ListenFailed as e:
    print(e.detail)
else:
    print({name: [s.getsockname()[1] for s in sockets] for name, sockets in found.items()})
    print([name for name in os.environ if name.startswith("LISTEN_")])
"""


def taken(sockets, names=None):
    """What a process takes to which `sockets` were handed over."""
    environment = {**os.environ, "LISTEN_FDS": str(len(sockets))} | ({} if names is None else {"LISTEN_FDNAMES": names})
    high = [fcntl.fcntl(each, fcntl.F_DUPFD, 100) for each in sockets]
    put = " ".join(f"{3 + number}<&{descriptor}" for number, descriptor in enumerate(high))
    command = ["bash", "-c", f'exec {put}; exec "$@"', "bash", sys.executable, "-c", _TAKE]
    done = subprocess.run(
        command, env=environment, pass_fds=high, capture_output=True, text=True, timeout=60, check=False
    )
    for descriptor in high:
        os.close(descriptor)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_sockets_are_taken_by_their_names():
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as three,
    ):
        ports = [each.getsockname()[1] for each in (one, two, three)]
        out = taken([one, two, three], "gateway:control:gateway")
    assert out.splitlines() == [str({"gateway": [ports[0], ports[2]], "control": [ports[1]]}), "[]"]


@pytest.mark.parametrize(
    ("names", "listens", "why"),
    [
        ("web", True, "a socket called 'web', which is not known here: set FileDescriptorName=gateway"),
        (None, True, "a socket called 'unknown'"),
        ("gateway", False, "is no listening stream socket"),
    ],
)
def test_a_socket_that_cannot_be_meant_is_a_sentence(names, listens, why):
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        if listens:
            made.listen()
        assert why in taken([made], names)


@pytest.mark.parametrize(
    "given", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "1"}], ids=["none", "of another", "of nobody"]
)
def test_sockets_of_another_process_are_not_taken(given):
    environment = dict(given)
    assert handed_over(environment) == {}
    assert environment == {}


def test_a_number_of_sockets_that_is_none_is_a_sentence():
    with pytest.raises(ListenFailed, match="LISTEN_FDS is no number"):
        handed_over({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"})
