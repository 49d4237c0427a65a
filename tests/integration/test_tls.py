"""TLS towards clients: what a certificate must be, and how another one takes its place."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl

import pytest
import trustme

from gateway.config import Address
from gateway.errors import ConfigError
from gateway.service.site import start_server
from gateway.service.sockets import bound
from gateway.service.tls import Certificate, CertificateFiles, load

AUTHORITY = trustme.CA()
LONG_AGO = {"not_before": dt.datetime(2001, 1, 1, tzinfo=dt.UTC), "not_after": dt.datetime(2002, 1, 1, tzinfo=dt.UTC)}
ENCRYPTED = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIG=\n-----END ENCRYPTED PRIVATE KEY-----\n"


def put(folder, name, **dates):
    """A new certificate for localhost in `folder`; its files."""
    made = AUTHORITY.issue_cert("localhost", **dates)
    chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
    (folder / f"{name}.pem").write_bytes(chain)
    (folder / f"{name}.key").write_bytes(made.private_key_pem.bytes())
    return CertificateFiles(folder / f"{name}.pem", folder / f"{name}.key", "server")


def renew(files, folder):
    """Put a new certificate in the place of `files`, as a renewing program does."""
    new = put(folder, "renewed")
    new.key.replace(files.key)
    new.certificate.replace(files.certificate)


async def presented(port, **limits):
    """The serial number that a client sees, and the version that was agreed on."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    for name, value in limits.items():
        setattr(context, name, value)
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    told = writer.get_extra_info("ssl_object")
    writer.close()
    await writer.wait_closed()
    del reader
    return told.getpeercert()["serialNumber"], told.version()


@pytest.fixture
async def served(tmp_path):
    """A certificate, and the port of a server that presents it."""
    certificate = Certificate(load(put(tmp_path, "first")))
    with bound(Address("localhost", 0), "listen") as sockets:
        servers = [await start_server(asyncio.Protocol, each, certificate.context) for each in sockets]
        yield certificate, sockets[0].getsockname()[1]
        for server in servers:
            server.close()


async def test_clients_are_shown_another_certificate_once_it_is_in_use_and_open_connections_live_on(served, tmp_path):
    certificate, port = served
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    _, open_before = await asyncio.open_connection("localhost", port, ssl=context)
    first, _ = await presented(port)
    certificate.use(load(put(tmp_path, "second")))
    second, _ = await presented(port)
    assert first != second
    assert not open_before.is_closing()
    open_before.close()
    await open_before.wait_closed()


async def test_files_that_change_are_noticed(served, tmp_path):
    certificate, port = served
    first, _ = await presented(port)
    assert certificate.look() is False
    renew(certificate.loaded.files, tmp_path)
    assert certificate.look() is True
    assert (await presented(port))[0] != first


async def test_files_that_change_into_something_useless_leave_the_certificate_in_use_and_say_so_once(
    served, tmp_path, caplog
):
    certificate, port = served
    first, _ = await presented(port)
    certificate.loaded.files.certificate.write_text("nothing")
    assert [certificate.look(), certificate.look()] == [False, False]
    assert (await presented(port))[0] == first
    (said,) = [record.getMessage() for record in caplog.records]
    assert "tls.not_renewed" in said
    assert "first.pem: is not a certificate in PEM form" in said
    renew(certificate.loaded.files, tmp_path)
    assert certificate.look() is True


async def test_a_certificate_whose_key_has_not_come_yet_is_taken_with_its_key(served, tmp_path):
    certificate, _ = served
    files, new = certificate.loaded.files, put(tmp_path, "second")
    new.certificate.replace(files.certificate)
    assert certificate.look() is False
    new.key.replace(files.key)
    assert certificate.look() is True


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_versions_1_2_and_1_3_are_spoken(served, version):
    _, port = served
    assert (await presented(port, maximum_version=version, minimum_version=version))[1] == version.name.replace(
        "_", "."
    )


def test_older_versions_are_not(tmp_path):
    assert load(put(tmp_path, "a")).context.minimum_version == ssl.TLSVersion.TLSv1_2


async def test_the_files_are_looked_at_while_they_are_watched(tmp_path):
    certificate = Certificate(load(put(tmp_path, "first")))
    before = certificate.loaded
    renew(before.files, tmp_path)
    async with certificate.watched(seconds=0), asyncio.timeout(30):
        while certificate.loaded is before:  # noqa: ASYNC110  what changes is a file
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda f: f.certificate.unlink(), "server.tls_certificate: {c}: there is no such file"),
        (lambda f: f.key.unlink(), "server.tls_key: {k}: there is no such file"),
        (lambda f: f.certificate.write_text("hello"), "server.tls_certificate: {c}: is not a certificate in PEM form"),
        (
            lambda f: f.certificate.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "server.tls_certificate: {c}: is not a certificate that can be read",
        ),
        (lambda f: f.key.write_text("hello"), "server.tls_key: {k}: holds no private key in PEM form"),
        (
            lambda f: f.key.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            "server.tls_key: {k}: is not a private key that can be used",
        ),
        (
            lambda f: f.key.write_bytes(AUTHORITY.issue_cert("localhost").private_key_pem.bytes()),
            "server.tls_key: {k}: does not fit the certificate in {c}",
        ),
        (lambda f: (f.key.unlink(), f.key.mkdir()), "server.tls_key: {k}: cannot be read: is a directory"),
        (lambda f: f.key.write_bytes(b"0" * (1024 * 1024 + 1)), "server.tls_key: {k}: is larger than any certificate"),
    ],
    ids=range(9),
)
def test_what_is_wrong_is_named_with_its_setting_and_its_file(tmp_path, broken, said):
    files = put(tmp_path, "a")
    broken(files)
    with pytest.raises(ConfigError) as refused:
        load(files)
    assert refused.value.detail.startswith(said.format(c=files.certificate, k=files.key))
    assert "-----" not in refused.value.detail


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(tmp_path):
    from cryptography.hazmat.primitives import serialization as s

    files = put(tmp_path, "a")
    key = s.load_pem_private_key(files.key.read_bytes(), None)
    secret = s.BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, secret))
    with pytest.raises(ConfigError, match="the key is encrypted; store it without a passphrase"):
        load(files)


def test_certificate_and_key_can_be_in_one_file(tmp_path):
    files = put(tmp_path, "a")
    both = tmp_path / "both.pem"
    both.write_bytes(files.certificate.read_bytes() + files.key.read_bytes())
    assert load(CertificateFiles(both, None, "control")).doubt is None
    with pytest.raises(
        ConfigError, match=r"control\.tls_certificate: .* name the file that does with control\.tls_key"
    ):
        load(CertificateFiles(files.certificate, None, "control"))


def test_a_certificate_says_until_when_it_holds(tmp_path):
    end = dt.datetime(2091, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    loaded = load(put(tmp_path, "a", not_after=end))
    assert (loaded.not_after, loaded.doubt) == (end.timestamp(), None)
    now = [end.timestamp() - 1]
    certificate = Certificate(loaded, now=lambda: now[0])
    assert certificate.expired is False
    now[0] += 1
    assert certificate.expired is True


def test_an_expired_certificate_is_used_with_a_warning(tmp_path, caplog):
    certificate = Certificate(load(put(tmp_path, "old", **LONG_AGO)))
    assert certificate.expired
    assert "tls.doubtful" in caplog.text
    assert "it has expired" in caplog.text
