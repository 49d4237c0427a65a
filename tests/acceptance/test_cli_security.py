"""Keys, TLS settings and health of integrations on the command line, against a gateway that serves."""

from __future__ import annotations

import trustme

from gateway.wire.ed25519 import new_signing_key, public_key_of

AUTHORITY = trustme.CA()
ISSUED = AUTHORITY.issue_cert("gateway.example")


def test_keys_and_tls_settings_are_given_by_files_and_shown_without_the_private_key(served, tmp_path):
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "certificate.pem", "key.pem"))
    AUTHORITY.cert_pem.write_to_path(ca)
    ISSUED.cert_chain_pems[0].write_to_path(certificate)
    ISSUED.private_key_pem.write_to_path(key)
    public = public_key_of(new_signing_key())
    made = served(
        "integrations", "register", "secured", "https://hooks.example.com", "--health-path", "/health",
        "--reply-public-key", public, "--tls-ca", str(ca), "--tls-certificate", str(certificate), "--tls-key", str(key),
    )  # fmt: skip
    assert made.code == 0, made.err
    shown = served("integrations", "show", "secured").out
    facts = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert facts["reply_public_keys"] == public
    assert facts["tls.ca_pem"] == "1 of its own"
    assert facts["tls.client_certificate_pem"] == "yes"
    assert facts["health.status"] == "unknown"
    for text in (made.out, shown):
        assert key.read_text().splitlines()[1] not in text
    changed = served("integrations", "change", "secured", "--no-tls", "--no-reply-public-keys", "--json").json
    assert (changed["tls"], changed["reply_public_keys"]) == (None, [])
    wrong = served("integrations", "change", "secured", "--tls-ca", str(key))
    assert wrong.code == 1
    assert "/tls/ca_pem" in wrong.err
    assert served("integrations", "change", "secured", "--tls-ca", str(ca), "--no-tls").code == 2


def test_a_signing_key_is_made_and_its_public_part_told(served):
    assert served("integrations", "register", "signed", "https://hooks.example.com").code == 0
    made = served("integrations", "rotate", "signed", "signing_key", "--json").json
    assert made["public_key"].startswith("whpk_")
    assert made["public_key"] in served("integrations", "show", "signed").out
    assert "it is no secret" in served("integrations", "rotate", "signed", "signing_key").out
