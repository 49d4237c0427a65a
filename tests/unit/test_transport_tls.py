"""TLS settings of one integration: what is wrong with them is said in a sentence, and they are never shown."""

from __future__ import annotations

import gc
import ssl
import weakref

import pytest
import trustme

from gateway.transport import parse_endpoint
from gateway.transport.tls import TlsContexts, TlsProfile, TlsUnusable, check_tls

AUTHORITY = trustme.CA()
CA = AUTHORITY.cert_pem.bytes().decode()
ISSUED = AUTHORITY.issue_cert("gateway.example")
CERTIFICATE = "".join(part.bytes().decode() for part in ISSUED.cert_chain_pems)
KEY = ISSUED.private_key_pem.bytes().decode()
OTHER_KEY = AUTHORITY.issue_cert("other.example").private_key_pem.bytes().decode()
RSA_KEY = AUTHORITY.issue_cert("r.example", key_type=trustme.KeyType.RSA).private_key_pem.bytes().decode()
EMPTY = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


def test_what_is_right_is_accepted():
    check_tls(TlsProfile())
    check_tls(TlsProfile(ca_pem=CA, server_name="hooks.internal"))
    check_tls(TlsProfile(ca_pem=CA + trustme.CA().cert_pem.bytes().decode()))
    check_tls(TlsProfile(CA, CERTIFICATE, KEY))


@pytest.mark.parametrize(
    ("part", "detail", "profile"),
    [
        ("ca_pem", "must be PEM", TlsProfile(ca_pem="")),
        ("ca_pem", "must be PEM", TlsProfile(ca_pem="-----BEGIN CERTIFICATE-----ü")),
        ("ca_pem", "can be read", TlsProfile(ca_pem=EMPTY)),
        ("ca_pem", "no certificate of an authority", TlsProfile(ca_pem=CERTIFICATE)),
        ("ca_pem", "no private key", TlsProfile(ca_pem=CA + KEY)),
        ("ca_pem", "at most 65536", TlsProfile(ca_pem=CA * 200)),
        ("certificate_pem", "no private key", TlsProfile(CA, CERTIFICATE + KEY, KEY)),
        ("certificate_pem", "is missing", TlsProfile(key_pem=KEY)),
        ("certificate_pem", "can be read", TlsProfile(certificate_pem=EMPTY, key_pem=KEY)),
        ("certificate_pem", "can be read", TlsProfile(certificate_pem=CERTIFICATE[:300], key_pem=KEY)),
        ("key_pem", "is missing", TlsProfile(certificate_pem=CERTIFICATE)),
        ("key_pem", "can be read", TlsProfile(certificate_pem=CERTIFICATE, key_pem=KEY[:90])),
        ("key_pem", "can be read", TlsProfile(certificate_pem=CERTIFICATE, key_pem=CERTIFICATE)),
        ("key_pem", "is not the key", TlsProfile(certificate_pem=CERTIFICATE, key_pem=OTHER_KEY)),
        ("key_pem", "is not the key", TlsProfile(certificate_pem=CERTIFICATE, key_pem=RSA_KEY)),
        ("key_pem", "pass phrase", TlsProfile(None, CERTIFICATE, "-----BEGIN ENCRYPTED PRIVATE KEY-----")),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_without_being_shown(part, detail, profile):
    with pytest.raises(TlsUnusable, match=detail) as caught:
        check_tls(profile)
    assert caught.value.part == part
    assert KEY.splitlines()[1] not in str(caught.value)


def test_a_profile_never_shows_itself():
    shown = repr(TlsProfile(CA, CERTIFICATE, KEY, "hooks.internal"))
    assert shown == "TlsProfile(server_name='hooks.internal', verify=True)"
    endpoint = parse_endpoint("https://hooks.example/", tls=TlsProfile(CA, CERTIFICATE, KEY))
    assert KEY.splitlines()[1] not in repr(endpoint)


def test_profiles_are_equal_if_all_their_parts_are():
    assert TlsProfile(CA, CERTIFICATE, KEY) == TlsProfile(CA, CERTIFICATE, KEY)
    different = [TlsProfile(), TlsProfile(CA), TlsProfile(None, CA), TlsProfile(None, None, CA), TlsProfile("", CA)]
    assert len(set(different)) == 5
    assert TlsProfile(server_name="a") != TlsProfile(server_name="b")


def test_one_context_is_made_for_each_distinct_profile_and_goes_with_it():
    contexts = TlsContexts()
    profile = TlsProfile(CA, CERTIFICATE, KEY)
    made = contexts.context(profile)
    assert contexts.context(profile) is made
    assert contexts.context(TlsProfile(CA, CERTIFICATE, KEY)) is made
    assert contexts.context(TlsProfile(CA)) is not made
    assert contexts.context(None) is contexts.context(None)
    gone = weakref.ref(made)
    del profile, made
    gc.collect()
    assert gone() is None


def test_every_context_checks_names_and_asks_for_tls_1_2():
    for context in (TlsContexts().context(None), TlsContexts().context(TlsProfile(CA, CERTIFICATE, KEY))):
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
