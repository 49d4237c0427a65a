"""A guestbook as in the old days, whose readers are told of new entries.

    CONTROL_URL=http://127.0.0.1:8081 API_KEY=gwk_… python guestbook.py --port 9000 --db guestbook.db

Entries are in an SQLite database. Each entry and the event that tells of it are one: the event waits in the same
database until the gateway has taken it, so that neither a crash nor a gateway that is down loses one. Who wants to hear
of entries subscribes on the page `/subscriptions`. `notifier.py` is such a subscriber, with an inbox and a worker.

`API_KEY` is that of an integration, which the operator registers for the guestbook.
"""

from __future__ import annotations

import argparse
import asyncio
import html
import logging
import os
import sqlite3
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from aiohttp import web

from gateway.errors import GatewayError
from gateway.receiver import ControlClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_LETTERS = 2_000
PUBLISH_SECONDS = 1.0

SCHEMA = """
create table if not exists entry (id integer primary key, name text not null, words text not null, at real not null);
create table if not exists unpublished (entry_id integer primary key references entry (id));
"""
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Guestbook</title>
<style>
body {{ background: #000080; color: #ffff80; font: 18px "Comic Sans MS", cursive; max-width: 44rem; margin: 2rem auto }}
h1 {{ color: #ff80ff; text-align: center; text-shadow: 2px 2px #800080; }} a {{ color: #80ffff; }}
article, form, li {{ background: #000; border: 3px ridge #c0c0c0; padding: .8rem; margin: 1rem 0; }}
input, textarea, button {{ font: inherit; width: 100%; box-sizing: border-box; margin: .2rem 0 .6rem; }}
footer {{ text-align: center; font-size: 80%; }} b {{ color: #80ff80; }}
</style>
<h1>~ {title} ~</h1>{body}
<footer><a href="/">guestbook</a> ~ <a href="/subscriptions">be told of entries</a></footer></html>"""

log = logging.getLogger("guestbook")


class Guestbook:
    """The pages. `client` speaks to the gateway."""

    def __init__(self, database: str, client: ControlClient) -> None:
        self._database = database
        self._client = client
        self._wake = asyncio.Event()
        with closing(self._open()) as db:
            db.executescript(SCHEMA)

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._database, isolation_level=None)
        db.execute("pragma journal_mode = wal")
        return db

    # ------------------------------------------------------------ entries

    async def show(self, _request: web.Request) -> web.Response:
        """All entries, the latest first, and a form for another."""
        with closing(self._open()) as db:
            rows = db.execute("select name, words, at from entry order by id desc limit 100").fetchall()
        entries = "".join(
            f"<article><b>{html.escape(name)}</b> wrote on {time.strftime('%d %b %Y', time.gmtime(at))}:"
            f"<p>{html.escape(words)}</p></article>"
            for name, words, at in rows
        )
        form = (
            '<form method="post" action="/entries"><label>Your name <input name="name" required maxlength="80"></label>'
            '<label>Your words <textarea name="words" required></textarea></label><button>Sign!!!</button></form>'
        )
        return page("My Guestbook", f"<p>You are entry no. {len(rows) + 1}!</p>{form}{entries}")

    async def sign(self, request: web.Request) -> web.Response:
        """Take an entry, and with it the event: both or neither."""
        form = await request.post()
        name, words = str(form.get("name", "")).strip(), str(form.get("words", "")).strip()
        if not name or not words or len(name) > 80 or len(words) > MOST_LETTERS:
            raise web.HTTPBadRequest(text=f"A name and some words are needed, at most {MOST_LETTERS} letters.")
        with closing(self._open()) as db:
            db.execute("begin immediate")
            cursor = db.execute("insert into entry (name, words, at) values (?, ?, ?)", (name, words, time.time()))
            db.execute("insert into unpublished (entry_id) values (?)", (cursor.lastrowid,))
            db.execute("commit")
        self._wake.set()
        raise web.HTTPSeeOther("/")

    async def publish(self, _app: web.Application) -> AsyncIterator[None]:
        """Hand events to the gateway for as long as the application runs."""
        task = asyncio.create_task(self._publishing())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def _publishing(self) -> None:
        while True:
            try:
                await self._publish_what_waits()
            except GatewayError as error:
                log.warning("not published yet: %s", error.detail)
            with suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._wake.wait()
            self._wake.clear()

    async def _publish_what_waits(self) -> None:
        with closing(self._open()) as db:
            waiting = db.execute(
                "select id, name, words from unpublished join entry on id = entry_id order by id"
            ).fetchall()
        for number, name, words in waiting:
            # The same key each time: if the answer got lost, the gateway knows the event already.
            event = {"event": "guestbook.signed", "data": {"entry": number, "name": name, "words": words}}
            await self._client.publish_event(event, idempotency_key=f"entry-{number}")
            with closing(self._open()) as db:
                db.execute("delete from unpublished where entry_id = ?", (number,))

    # ------------------------------------------------------------ subscriptions

    async def subscriptions(self, _request: web.Request) -> web.Response:
        """Who is told of entries."""
        found = await self._client.list_subscriptions()
        items = "".join(map(item, found["items"]))
        form = (
            '<form method="post"><label>Name <input name="name" required></label>'
            '<label>URL <input name="url" type="url" required></label><button>Tell me!!!</button></form>'
        )
        return page("Be told of entries", f"{form}<ul>{items}</ul>")

    async def subscribe(self, request: web.Request) -> web.Response:
        """Make a subscription, and show its secret this once."""
        form = await request.post()
        try:
            made = await self._client.create_subscription(
                {
                    "name": str(form.get("name", "")),
                    "events": ["guestbook.*"],
                    "config": {"url": str(form.get("url", "")), "content_type": "application/json"},
                }
            )
        except GatewayError as error:
            return page("Not yet", f"<article>{html.escape(error.detail)}</article>", status=400)
        secret = html.escape(str(made["config"]["secret"]))
        return page("Subscribed", f"<article>Its secret, shown this once: <code>{secret}</code></article>")

    async def unsubscribe(self, request: web.Request) -> web.Response:
        """Remove a subscription."""
        await self._client.remove_subscription(request.match_info["id"])
        raise web.HTTPSeeOther("/subscriptions")


def item(subscription: Any) -> str:
    """One subscription in the list."""
    name, url, state = (
        html.escape(str(each)) for each in (subscription["name"], subscription["config"]["url"], subscription["state"])
    )
    action = f"/subscriptions/{html.escape(subscription['id'])}/remove"
    remove = f'<form method="post" action="{action}"><button>Remove</button></form>'
    return f"<li><b>{name}</b> {url} ({state}){remove}</li>"


def page(title: str, body: str, status: int = 200) -> web.Response:
    """A page of the guestbook."""
    return web.Response(text=PAGE.format(title=title, body=body), content_type="text/html", status=status)


@web.middleware
async def own_forms_only(request: web.Request, handler: web.RequestHandler) -> web.StreamResponse:
    """Refuse forms of other sites."""
    if request.method == "POST" and request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise web.HTTPForbidden(text="This form came from another site.")
    return await handler(request)


async def application(database: str) -> web.Application:
    """The guestbook, with its connection to the gateway."""
    client = ControlClient(os.environ["CONTROL_URL"], os.environ["API_KEY"])
    await client.__aenter__()
    book = Guestbook(database, client)
    app = web.Application(middlewares=[own_forms_only])
    app.router.add_get("/", book.show)
    app.router.add_post("/entries", book.sign)
    app.router.add_get("/subscriptions", book.subscriptions)
    app.router.add_post("/subscriptions", book.subscribe)
    app.router.add_post("/subscriptions/{id}/remove", book.unsubscribe)
    app.cleanup_ctx.append(book.publish)

    async def close(_app: web.Application) -> None:
        await client.__aexit__(None, None, None)

    app.on_cleanup.append(close)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A guestbook.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--db", default="guestbook.db")
    options = parser.parse_args()
    web.run_app(application(options.db), host="127.0.0.1", port=options.port)
