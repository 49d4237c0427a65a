"""The registry as rows: what a change writes, and what is read back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.errors import StaleGeneration, StoreCorrupt, StoreError, StoreTooNew
from gateway.model import ApiKeyHash, Hook, Integration, SigningSecret
from gateway.stores.codec import from_document, to_document
from gateway.stores.protocol import RegistryState

if TYPE_CHECKING:
    import sqlite3

    from gateway.stores.protocol import RegistryChange

_INTEGRATION_COLUMNS: Final = frozenset({"id", "name", "api_keys", "secrets"})
_HOOK_COLUMNS: Final = frozenset({"id", "integration_id", "name"})
# How a credential's value is kept. A version that encrypts secrets will add a scheme of its own.
_DIGEST: Final = "digest"
_PLAIN: Final = "plain"


def read_state(db: sqlite3.Connection) -> RegistryState:
    """Everything, sorted by id. Call it within a transaction. Raises `StoreCorrupt` and `StoreTooNew`."""
    keys: dict[str, list[ApiKeyHash]] = {}
    secrets: dict[str, list[SigningSecret]] = {}
    for owner, kind, scheme, value, created_at, expires_at in db.execute(
        "SELECT integration_id, kind, scheme, value, created_at, expires_at FROM credential "
        "ORDER BY integration_id, kind, position",
    ):
        if kind == "api_key" and scheme == _DIGEST:
            keys.setdefault(owner, []).append(ApiKeyHash(value, created_at, expires_at))
        elif kind == "secret" and scheme == _PLAIN:
            secrets.setdefault(owner, []).append(SigningSecret(value, created_at, expires_at))
        else:
            raise StoreTooNew(
                f"A credential in the database is kept in the form {scheme!r}, which this version does not know: "
                "use the version that wrote it, or a later one.",
            )
    integrations = tuple(
        from_document(
            Integration,
            doc,
            {
                "id": record_id,
                "name": name,
                "api_keys": tuple(keys.get(record_id, ())),
                "secrets": tuple(secrets.get(record_id, ())),
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


def write_change(db: sqlite3.Connection, change: RegistryChange) -> None:
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
        _put_integration(db, integration)
    for hook in change.put_hooks:
        db.execute(
            "INSERT INTO hook (id, integration_id, name, doc) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
            "SET integration_id = excluded.integration_id, name = excluded.name, doc = excluded.doc",
            (hook.id, hook.integration_id, hook.name, to_document(hook, without=_HOOK_COLUMNS)),
        )
    db.execute("UPDATE registry_meta SET generation = ?", (change.generation,))


def _put_integration(db: sqlite3.Connection, integration: Integration) -> None:
    db.execute(
        "INSERT INTO integration (id, name, doc) VALUES (?, ?, ?) "
        "ON CONFLICT (id) DO UPDATE SET name = excluded.name, doc = excluded.doc",
        (integration.id, integration.name, to_document(integration, without=_INTEGRATION_COLUMNS)),
    )
    db.execute("DELETE FROM credential WHERE integration_id = ?", (integration.id,))
    rows: list[tuple[str, str, int, str, str, float, float | None]] = []
    for n, key in enumerate(integration.api_keys):
        rows.append((integration.id, "api_key", n, _DIGEST, key.digest, key.created_at, key.expires_at))
    for n, secret in enumerate(integration.secrets):
        rows.append((integration.id, "secret", n, _PLAIN, secret.secret, secret.created_at, secret.expires_at))
    db.executemany(
        "INSERT INTO credential (integration_id, kind, position, scheme, value, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
