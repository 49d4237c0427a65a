"""The sockets that a gateway listens on: what is bound, what is left behind, and what is said when it cannot be."""

from __future__ import annotations

import os
import re
import socket
import stat

import pytest

from gateway.config import Address, UnixAddress
from gateway.errors import ListenFailed
from gateway.service.sockets import bound, listener_of


def connected(made):
    """Whether a connection to a bound socket is accepted."""
    with socket.socket(made.family, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(made.getsockname())
        made.setblocking(True)
        made.settimeout(10)
        accepted, _ = made.accept()
        accepted.close()
    return True


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize(
    ("address", "url"),
    [
        (Address("127.0.0.1", 0), r"http://127\.0\.0\.1:\d+"),
        (Address("localhost", 0), r"http://(127\.0\.0\.1|\[::1\]):\d+"),
        pytest.param(Address("::1", 0), r"http://\[::1\]:\d+", marks=needs_ipv6),
    ],
    ids=str,
)
def test_an_address_is_listened_on_and_its_url_has_the_port_that_it_got(address, url):
    with bound(address, "listen") as sockets:
        assert re.fullmatch(url, listener_of(sockets, "listen", "http").url)
        assert len({made.getsockname()[1] for made in sockets}) == 1
        assert all(connected(made) for made in sockets)
    assert [made.fileno() for made in sockets] == [-1] * len(sockets)


@needs_ipv6
def test_the_unspecified_ipv6_address_takes_ipv4_as_well():
    with bound(Address("::", 0), "listen") as (made,):
        port = made.getsockname()[1]
        socket.create_connection(("127.0.0.1", port), 10).close()
        socket.create_connection(("::1", port), 10).close()


def test_several_processes_can_share_a_port_if_they_are_meant_to():
    with bound(Address("127.0.0.1", 0), "listen", reuse_port=True) as (first,):
        same = Address("127.0.0.1", first.getsockname()[1])
        with bound(same, "listen", reuse_port=True) as (second,):
            assert second.getsockname() == first.getsockname()
        with pytest.raises(ListenFailed, match="listens there already"), bound(same, "listen"):
            pass


@pytest.mark.parametrize(
    ("address", "why"),
    [
        (Address("192.0.2.1", 0), "this machine does not have that address"),
        (Address("no-such-host.invalid", 0), "the host is not known here"),
    ],
    ids=str,
)
def test_an_address_that_cannot_be_used_is_a_sentence_that_names_the_setting(address, why):
    with pytest.raises(ListenFailed) as refused, bound(address, "control.listen"):
        pass
    assert str(address) in refused.value.detail
    assert why in refused.value.detail
    assert refused.value.detail.endswith("with the setting control.listen.")


def test_a_port_in_use_is_a_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(ListenFailed, match="another program listens there already"), bound(address, "listen"):
            pass


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_file_of_a_unix_socket_has_its_mode_and_is_removed_at_the_end(tmp_path, mode):
    path = tmp_path / "gateway.sock"
    before = os.umask(0o022)
    try:
        with bound(UnixAddress(str(path)), "listen", mode=mode) as (made,):
            assert stat.S_IMODE(path.stat().st_mode) == mode
            assert listener_of((made,), "listen", "http").url == f"http+unix://{path}"
            assert connected(made)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
    assert not path.exists()


def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path):
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with bound(UnixAddress(str(path)), "listen") as (made,):
        assert connected(made)


def test_a_socket_that_somebody_answers_on_is_left_alone(tmp_path):
    path = tmp_path / "gateway.sock"
    with bound(UnixAddress(str(path)), "listen") as (made,):
        with (
            pytest.raises(ListenFailed, match="another program listens there already"),
            bound(UnixAddress(str(path)), "listen"),
        ):
            pass
        assert connected(made)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("keep me")
    with pytest.raises(ListenFailed, match="a file which is no socket"), bound(UnixAddress(str(path)), "listen"):
        pass
    assert path.read_text() == "keep me"


def test_a_path_that_another_process_took_over_is_not_removed_at_the_end(tmp_path):
    path = tmp_path / "gateway.sock"
    with bound(UnixAddress(str(path)), "listen"):
        path.unlink()
        path.write_text("someone else's")
    assert path.read_text() == "someone else's"


def test_a_path_in_a_directory_that_is_not_there_is_a_sentence(tmp_path):
    address = UnixAddress(str(tmp_path / "nowhere" / "gateway.sock"))
    with (
        pytest.raises(ListenFailed, match=r"its directory does not exist\. Choose another path"),
        bound(address, "listen"),
    ):
        pass
