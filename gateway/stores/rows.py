"""The registry as rows: what a change writes, and what is read back."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from gateway.errors import StaleGeneration, StoreCorrupt, StoreError, StoreTooNew
from gateway.model import ApiKeyHash, Hook, Integration, SigningSecret
from gateway.stores.audit_rows import write_audit
from gateway.stores.codec import from_document, to_document
from gateway.stores.protocol import RegistryState

if TYPE_CHECKING:
    import sqlite3

    from gateway.stores.protocol import AuditRetention, RegistryChange
    from gateway.stores.sealing import Vault

_INTEGRATION_COLUMNS: Final = frozenset({"id", "name", "api_keys", "secrets", "signing_keys", "client_key_pem"})
_HOOK_COLUMNS: Final = frozenset({"id", "integration_id", "name"})
# The scheme of what needs no sealing, for nobody can turn it back into a key.
_DIGEST: Final = "digest"


def read_state(db: sqlite3.Connection, vault: Vault) -> RegistryState:
    """Everything, sorted by id. Call it within a transaction.

    Raises `StoreCorrupt`, `StoreTooNew` and `StoreSealed`.
    """
    keys: dict[str, list[ApiKeyHash]] = {}
    signing: dict[tuple[str, str], list[SigningSecret]] = {}
    client_keys: dict[str, str] = {}
    for owner, kind, position, scheme, value, created_at, expires_at in db.execute(
        "SELECT integration_id, kind, position, scheme, value, created_at, expires_at FROM credential "
        "ORDER BY integration_id, kind, position",
    ):
        if kind == "api_key" and scheme == _DIGEST:
            keys.setdefault(owner, []).append(ApiKeyHash(value, created_at, expires_at))
        elif kind in {"secret", "signing_key"}:
            secret = vault.open(scheme, value, *_identity(owner, kind, position))
            signing.setdefault((owner, kind), []).append(SigningSecret(secret, created_at, expires_at))
        elif kind == "client_key":
            client_keys[owner] = vault.open(scheme, value, *_identity(owner, kind, position))
        else:
            raise StoreTooNew(
                f"The database holds a credential of the kind {kind!r} in the form {scheme!r}, which this version "
                "does not know: use the version that wrote it, or a later one.",
            )
    integrations = tuple(
        from_document(
            Integration,
            doc,
            {
                "id": record_id,
                "name": name,
                "api_keys": tuple(keys.get(record_id, ())),
                "secrets": tuple(signing.get((record_id, "secret"), ())),
                "signing_keys": tuple(signing.get((record_id, "signing_key"), ())),
                "client_key_pem": client_keys.get(record_id),
            },
        )
        for record_id, name, doc in db.execute("SELECT id, name, doc FROM integration ORDER BY id")
    )
    hooks = tuple(
        from_document(Hook, doc, {"id": record_id, "integration_id": owner, "name": name})
        for record_id, owner, name, doc in db.execute("SELECT id, integration_id, name, doc FROM hook ORDER BY id")
    )
    return RegistryState(read_generation(db), integrations, hooks)


def read_generation(db: sqlite3.Connection) -> int:
    """The stored generation. Raises `StoreCorrupt` if there is none."""
    row = db.execute("SELECT generation FROM registry_meta").fetchone()
    if row is None or not isinstance(row[0], int):
        raise StoreCorrupt("The database is damaged: it holds no generation.")
    return row[0]


def _identity(integration_id: str, kind: str, position: int) -> tuple[str | int, ...]:
    """What a sealed credential is bound to."""
    return "credential", integration_id, kind, position


def schemes(db: sqlite3.Connection) -> list[str]:
    """Every form in which something secret is kept, in a database of any version."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    present = [name for name in ("credential", "gateway_secret") if name in tables]
    return [scheme for name in present for (scheme,) in db.execute(f"SELECT DISTINCT scheme FROM {name}")]  # noqa: S608


def reseal(db: sqlite3.Connection, vault: Vault) -> int:
    """Seal anew what is not sealed as it would be now; return how many values that were.

    Call it within a transaction, and roll that back if this raises: it happens to all or to none.
    """
    count = 0
    rows = db.execute("SELECT id, integration_id, kind, position, scheme, value FROM credential").fetchall()
    for row_id, owner, kind, position, scheme, value in rows:
        if scheme != _DIGEST and not vault.is_present(scheme):
            identity = _identity(owner, kind, position)
            sealed = vault.seal(vault.open(scheme, value, *identity), *identity)
            db.execute("UPDATE credential SET scheme = ?, value = ? WHERE id = ?", (*sealed, row_id))
            count += 1
    for name, scheme, value in db.execute("SELECT name, scheme, value FROM gateway_secret").fetchall():
        if not vault.is_present(scheme):
            sealed = vault.seal(vault.open(scheme, value, "gateway_secret", name), "gateway_secret", name)
            db.execute("UPDATE gateway_secret SET scheme = ?, value = ? WHERE name = ?", (*sealed, name))
            count += 1
    return count


def gateway_secret(db: sqlite3.Connection, vault: Vault, name: str) -> bytes:
    """The 32 random bytes of this name, made now if there are none. Call it within a transaction."""
    row = db.execute("SELECT scheme, value FROM gateway_secret WHERE name = ?", (name,)).fetchone()
    if row is None:
        made = secrets.token_hex(32)
        sealed = vault.seal(made, "gateway_secret", name)
        db.execute("INSERT INTO gateway_secret (name, scheme, value) VALUES (?, ?, ?)", (name, *sealed))
        return bytes.fromhex(made)
    try:
        return bytes.fromhex(vault.open(*row, "gateway_secret", name))
    except ValueError:
        raise StoreCorrupt(f"The database is damaged: its secret {name!r} is none.") from None


def write_change(db: sqlite3.Connection, change: RegistryChange, vault: Vault, retention: AuditRetention) -> None:
    """Write the rows of `change`. Call it within a transaction, and roll that back if this raises."""
    if change.generation <= change.base:
        raise StoreError("A change must lead to a higher generation.")
    if read_generation(db) != change.base:
        raise StaleGeneration
    db.executemany("DELETE FROM integration WHERE id = ?", ((key,) for key in change.delete_integrations))
    db.executemany("DELETE FROM hook WHERE id = ?", ((key,) for key in change.delete_hooks))
    # Two records may swap their names in one change, but names are unique at every step: so they step aside first.
    aside = "UPDATE {} SET name = char(0) || id WHERE id = ?"
    db.executemany(aside.format("integration"), ((record.id,) for record in change.put_integrations))
    db.executemany(aside.format("hook"), ((record.id,) for record in change.put_hooks))
    for integration in change.put_integrations:
        _put_integration(db, integration, vault)
    for hook in change.put_hooks:
        db.execute(
            "INSERT INTO hook (id, integration_id, name, doc) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET integration_id = excluded.integration_id, name = excluded.name, doc = excluded.doc",
            (hook.id, hook.integration_id, hook.name, to_document(hook, without=_HOOK_COLUMNS)),
        )
    write_audit(db, change.audit, retention)
    db.execute("UPDATE registry_meta SET generation = ?", (change.generation,))


def _put_integration(db: sqlite3.Connection, integration: Integration, vault: Vault) -> None:
    db.execute(
        "INSERT INTO integration (id, name, doc) VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
        (integration.id, integration.name, to_document(integration, without=_INTEGRATION_COLUMNS)),
    )
    db.execute("DELETE FROM credential WHERE integration_id = ?", (integration.id,))
    rows: list[tuple[str, str, int, str, str, float, float | None]] = []
    for n, key in enumerate(integration.api_keys):
        rows.append((integration.id, "api_key", n, _DIGEST, key.digest, key.created_at, key.expires_at))
    sealed: list[tuple[str, int, str, float, float | None]] = []
    for kind, held in (("secret", integration.secrets), ("signing_key", integration.signing_keys)):
        sealed += [(kind, n, each.secret, each.created_at, each.expires_at) for n, each in enumerate(held)]
    if integration.client_key_pem is not None:
        sealed.append(("client_key", 0, integration.client_key_pem, integration.updated_at, None))
    for kind, n, secret, created_at, expires_at in sealed:
        scheme, value = vault.seal(secret, *_identity(integration.id, kind, n))
        rows.append((integration.id, kind, n, scheme, value, created_at, expires_at))
    db.executemany(
        "INSERT INTO credential (integration_id, kind, position, scheme, value, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
