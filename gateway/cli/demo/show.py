"""The demo's story: each query before and after its hooks, a hook that hangs, and how it is disabled."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from rich.text import Text

from gateway.cli.demo.integration_server import HANG_TIMEOUT_MS
from gateway.cli.demo.tables import SHOWN_ROWS, outcome_table, read_outcomes, result_table
from gateway.cli.demo.transformations import TRANSFORMATIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aiohttp import ClientSession
    from rich.console import Console

# How much longer than the hook's own limit an answer may take on a busy machine; the chain's budget is 2 s.
_IN_TIME_MS: Final = 2000

DEEDS: Final[Mapping[str, str]] = {
    **{one.name: one.about for one in TRANSFORMATIONS},
    "garbage": "says JSON, sends a PNG",
    "hang": "never answers",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One query of the story, and what is promised of it: the status and reason of each hook, in order."""

    title: str
    query: str
    params: Mapping[str, str]
    tenant: str
    promised: Mapping[str, tuple[str, str | None]]
    unchanged: bool = False
    remarks: Sequence[str] = field(default=())


_APPLIED: Final = ("applied", None)
_NEARBY: Final = {"iata": "GVA", "km": "60", "limit": "4"}

SCENES: Final = (
    Scene(
        "A filter, and three hooks that transform its rows",
        "airports",
        {"country": "BO", "min_elev_ft": "12000", "limit": "4"},
        "internal",
        {"metric-units": _APPLIED, "height-rank": _APPLIED, "local-time": _APPLIED},
    ),
    Scene(
        "The same query for another tenant, and one more hook",
        "airports",
        {"country": "BO", "min_elev_ft": "12000", "limit": "4"},
        "public",
        {"metric-units": _APPLIED, "height-rank": _APPLIED, "local-time": _APPLIED, "redact-coordinates": _APPLIED},
    ),
    Scene(
        "An aggregate, and a hook that answers garbage",
        "countries",
        {"limit": "4"},
        "public",
        {
            "metric-units": _APPLIED,
            "height-rank": _APPLIED,
            "garbage": ("failed", "bad_json"),
            "redact-coordinates": ("unchanged", None),
        },
        remarks=("The garbage was thrown away; what the hooks before and after it did still counts.",),
    ),
    Scene(
        "A join, and a hook that hangs",
        "nearby",
        _NEARBY,
        "internal",
        {"hang": ("failed", "timeout")},
        unchanged=True,
        remarks=(f"The hook was cut off at its limit of {HANG_TIMEOUT_MS} ms; the answer is the query API's own.",),
    ),
)
AFTERWARDS: Final = Scene(
    "The same query without it", "nearby", _NEARBY, "internal", {}, unchanged=True, remarks=("No hook was called.",)
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything is: base URLs, the operator's key, and the ids of the hooks by name."""

    query_url: str
    control_url: str
    integration_url: str
    operator_key: str
    hook_ids: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer of the query API, and how long it took in milliseconds."""

    body: bytes
    table: Mapping[str, Any]
    outcomes: Sequence[Mapping[str, str]]
    milliseconds: float


class Story:
    """Tells the story on `console`, with real calls to `place`, and keeps account of what was promised."""

    def __init__(self, console: Console, session: ClientSession, place: Place) -> None:
        self._console = console
        self._session = session
        self._place = place
        self.broken: list[str] = []

    async def tell(self) -> None:
        """The whole story. Afterwards `broken` has a sentence for each promise that was not kept."""
        for number, scene in enumerate(SCENES, start=1):
            await self._play(number, scene)
        await self._disable(len(SCENES) + 1, "hang")
        await self._play(len(SCENES) + 2, AFTERWARDS)

    async def _play(self, number: int, scene: Scene) -> None:
        before = await self._ask("data", scene)
        after = await self._ask("query", scene)
        self._title(number, scene.title)
        self._console.print(Text(f"GET /query/{scene.query}?{urlencode(scene.params)}", style="bold cyan"))
        self._console.print(Text(f"x-tenant: {scene.tenant}", style="cyan"))
        old, new = before.table["columns"], after.table["columns"]
        gone, added = set(old) - set(new), set(new) - set(old)
        self._line(f"\nbefore: what the query API alone says ({before.milliseconds:.0f} ms)")
        self._console.print(result_table(self._console, before.table, sign="-", marked=gone, style="red"))
        if after.body == before.body:
            self._line(f"\nafter: the same, byte for byte ({after.milliseconds:.0f} ms)")
        else:
            self._line(f"\nafter: what the caller gets ({after.milliseconds:.0f} ms)")
            self._console.print(result_table(self._console, after.table, sign="+", marked=added, style="green"))
        rows = len(after.table["rows"])
        if rows > SHOWN_ROWS:
            self._line(f"… and {rows - SHOWN_ROWS} more rows")
        if after.outcomes:
            self._line("")
            self._console.print(outcome_table(self._console, after.outcomes, DEEDS))
        for remark in scene.remarks:
            self._line(f"\n{remark}")
        self._judge(scene, before, after)

    async def _ask(self, door: str, scene: Scene) -> _Said:
        url = f"{self._place.query_url}/{door}/{scene.query}"
        began = time.perf_counter()
        async with self._session.get(url, params=scene.params, headers={"x-tenant": scene.tenant}) as response:
            body = await response.read()
            milliseconds = (time.perf_counter() - began) * 1000
            outcomes = read_outcomes(response.headers.get("gateway-hooks", ""))
            return _Said(body, await response.json(), outcomes, milliseconds)

    async def _disable(self, number: int, name: str) -> None:
        path = f"/v1/hooks/{self._place.hook_ids[name]}/disable"
        body = {"drain": True, "reason": "it hangs"}
        self._title(number, "That hook is disabled by API")
        async with self._session.post(
            self._place.control_url + path,
            json=body,
            headers={"authorization": f"Bearer {self._place.operator_key}"},
        ) as response:
            hook = await response.json()
        self._console.print(Text(f"POST {path}", style="bold cyan"))
        self._console.print(Text('{"drain": true, "reason": "it hangs"}', style="cyan"))
        shown = {key: hook.get(key) for key in ("name", "state", "reason", "generation")}
        self._line("\n" + ", ".join(f"{key}: {value}" for key, value in shown.items()))
        self._line("It holds for every query that starts from now on.")
        self._promise(response.status == 200 and hook.get("state") == "disabled", f"{name} could not be disabled")

    def _judge(self, scene: Scene, before: _Said, after: _Said) -> None:
        found = {one["hook"]: (one["status"], one.get("reason")) for one in after.outcomes}
        self._promise(
            list(found.items()) == list(scene.promised.items()),
            f"{scene.query} for {scene.tenant}: the hooks were to be {scene.promised}, and were {found}",
        )
        self._promise(
            (after.body == before.body) == scene.unchanged,
            f"{scene.query} for {scene.tenant}: the answer was to be {'un' * scene.unchanged}changed",
        )
        self._promise(
            after.milliseconds < before.milliseconds + _IN_TIME_MS,
            f"{scene.query} for {scene.tenant}: the answer took {after.milliseconds:.0f} ms",
        )

    def _promise(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.broken.append(otherwise)

    def _title(self, number: int, text: str) -> None:
        self._console.print()
        self._console.rule(Text(f"{number}. {text}", style="bold"), align="left", style="dim")

    def _line(self, text: str) -> None:
        self._console.print(Text(text))


def playground(place: Place, program: str) -> list[tuple[str, Sequence[str]]]:
    """What to try next: headings with lines to copy. `program` is how the command line is called."""
    disable = f"{place.control_url}/v1/hooks/{place.hook_ids['hang']}/disable"
    return [
        (
            "First, the operator's key and where the gateway is",
            (
                f"export KEY={place.operator_key}",
                f'export GATEWAY_KEY="$KEY" GATEWAY_URL={place.control_url}',
            ),
        ),
        (
            "Ask for other things",
            (
                f"curl -i '{place.query_url}/query/airports?country=NO&limit=3'",
                f"curl -i -H 'x-tenant: public' '{place.query_url}/query/nearby?iata=JFK&km=30'",
                f"curl {place.query_url}/",
            ),
        ),
        (
            "Switch hooks",
            (
                f"{program} hooks list",
                f"{program} hooks enable hang",
                f'curl -X POST -H "authorization: Bearer $KEY" {disable}',
            ),
        ),
        ("Look inside", (f"curl {place.control_url}/metrics", f"curl {place.control_url}/openapi.json")),
    ]
