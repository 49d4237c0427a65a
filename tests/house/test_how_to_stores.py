"""The code of the how-to pages about stores works as it stands there."""

import asyncio
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from gateway import Settings
from gateway.model.delivery import Cause, DeliveryState
from gateway.model.subscription import SubscriptionState

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def test_a_store_of_ones_own_is_examined_as_the_page_says(tmp_path):
    for code in blocks("how-to/write-your-own-store.md"):
        (tmp_path / code.splitlines()[0].removeprefix("# ")).write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "come_back or comes_back"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b3 passed, [0-9]{2} deselected", done.stdout)


def test_an_event_is_published_in_the_callers_transaction_as_the_page_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("how-to/publish-in-your-own-transaction.md")
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example.py", "exec"), names)
    asyncio.run(names["main"](Settings.model_validate({"store": {"url": "sqlite:///gateway.db"}})))
    names["place_order"]("a chair")
    with closing(sqlite3.connect("orders.db")) as db:
        assert db.execute("SELECT item FROM orders").fetchall() == [("a lamp",), ("a chair",)]


def test_every_state_and_cause_is_documented():
    page = (DOCS / "reference" / "deliveries.md").read_text()

    def words(heading):
        section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
        return set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE))

    assert words("States") == set(DeliveryState)
    assert words("Attempts") == set(Cause)
    assert words("Subscriptions") == set(SubscriptionState)
