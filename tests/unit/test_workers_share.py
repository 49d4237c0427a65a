"""What a worker is given of the settings: all that was set, its part of what is shared, and no key of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.config import Settings, load_settings
from gateway.service.workers.share import SHARED, document_of, settings_of, share_of, with_reloaded

if TYPE_CHECKING:
    from pathlib import Path

FULL = """
listen = "unix:/run/gateway/queries.sock"
workers = 4
trusted_proxies = ["10.0.0.0/8", "unix"]

[control]
listen = "[::1]:8081"
operator_keys = ["operator-key-for-tests"]

[store]
url = "sqlite:///gateway.db"

[calls]
allow = ["127.0.0.0/8", "*.internal"]
allow_http = true

[journal]
debug_keys = ["debug-key-for-tests-1"]

[log]
level = "debug"

[[routes]]
path = "/query/{kind}/*"
upstream = "http://127.0.0.1:9000"
type = { path = 1 }
tenant = { header = "x-tenant" }

[[routes]]
path = "/*"
upstream = "https://api.example.com"
type = "search"
"""


def loaded(directory: Path, text: str) -> Settings:
    (directory / "gateway.toml").write_text(text)
    return load_settings(directory / "gateway.toml", {})


@pytest.mark.parametrize("text", ["", FULL])
def test_the_settings_come_through_a_document_as_they_were_but_for_the_store(tmp_path: Path, text: str) -> None:
    settings = loaded(tmp_path, text)
    assert settings_of(document_of(settings)) == settings.model_copy(
        update={"store": settings.store.model_copy(update={"url": "memory:"})}
    )
    assert "store" not in document_of(settings)


def test_what_all_workers_have_together_is_divided_and_nothing_becomes_none() -> None:
    whole = Settings()
    part = share_of(whole, 4)
    for section, names in SHARED.items():
        for name in names:
            limit = getattr(getattr(whole, section), name)
            assert getattr(getattr(part, section), name) == max(1, limit // 4), f"{section}.{name}"
    few = Settings.model_validate({"calls": {"max_concurrency_total": 2, "max_waiting": 0}})
    assert share_of(few, 4).calls.max_concurrency_total == 1
    assert share_of(few, 4).calls.max_waiting == 0


def test_a_worker_that_starts_after_a_reload_has_what_the_others_took_and_waits_with_the_rest(tmp_path: Path) -> None:
    running = loaded(tmp_path, FULL)
    read = loaded(tmp_path, FULL.replace('"search"', '"form"').replace("allow_http = true", "allow_http = false"))
    given = with_reloaded(running, read)
    assert given.routes == read.routes
    assert given.calls == running.calls
