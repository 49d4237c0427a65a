"""The queries that the demo's query API answers: a filter, an aggregate and a join, each with free parameters."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from gateway.errors import FieldError, InvalidInput, NotFound

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

__all__ = ["QUERIES", "Parameter", "QueryKind", "run_query"]

Value = str | float | int | None


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a query: its name, what it is, its default, and for numbers its range."""

    name: str
    kind: Literal["text", "code", "integer", "number"]
    about: str
    default: Value = None
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False

    def read(self, text: str) -> Value:
        """The value that `text` stands for. Raises `ValueError` with a sentence that says what is allowed."""
        if self.kind == "text":
            return text
        if self.kind == "code":
            if not (text.isascii() and text.isalpha() and self.minimum == len(text)):
                raise ValueError(f"must be a code of {self.minimum:g} letters")
            return text.upper()
        try:
            number = int(text) if self.kind == "integer" else float(text)
        except ValueError:
            raise ValueError("must be a whole number" if self.kind == "integer" else "must be a number") from None
        low, high = self.minimum, self.maximum
        # Also refuses "nan", which compares as false with every bound.
        if low is not None and high is not None and not low <= number <= high:
            raise ValueError(f"must be from {low:g} to {high:g}")
        return number


@dataclass(frozen=True, slots=True)
class QueryKind:
    """One kind of query: its name in the URL, what it answers, its SQL and its parameters."""

    name: str
    about: str
    sql: str
    parameters: Sequence[Parameter]


_LIMIT: Final = Parameter("limit", "integer", "most rows to return", default=10, minimum=1, maximum=1000)

_AIRPORTS: Final = QueryKind(
    "airports",
    "a filter: airports by country, elevation and name, the highest first",
    """
    select icao, name, country, elevation_ft as elev_ft, lat, lon, tz
    from airport
    where (:country is null or country = :country)
      and (:min_elev_ft is null or elevation_ft >= :min_elev_ft)
      and instr(lower(name), lower(:name)) > 0
    order by elevation_ft desc, icao
    limit :limit
    """,
    (
        Parameter("country", "code", "ISO 3166 code of the country", minimum=2),
        Parameter("min_elev_ft", "number", "lowest elevation in feet", minimum=-2000, maximum=30000),
        Parameter("name", "text", "a part of the name, in any case", default=""),
        _LIMIT,
    ),
)

_COUNTRIES: Final = QueryKind(
    "countries",
    "an aggregate: how many airports each country has, and how high they lie",
    """
    select country.name as country, count(*) as airports,
           max(elevation_ft) as highest_ft, round(avg(elevation_ft), 1) as mean_ft
    from airport join country on country.code = airport.country
    group by country.code
    having count(*) >= :min_airports
    order by airports desc, country.name
    limit :limit
    """,
    (
        Parameter("min_airports", "integer", "fewest airports", default=1, minimum=1, maximum=100_000),
        _LIMIT,
    ),
)

_NEARBY: Final = QueryKind(
    "nearby",
    "a join: airports within so many kilometres of one, with their countries' names",
    """
    select near.icao, near.name, country.name as country,
           round(distance_km(origin.lat, origin.lon, near.lat, near.lon), 1) as km, near.lat, near.lon
    from airport as origin
    join airport as near
      on near.lat between origin.lat - :km / 110.5 and origin.lat + :km / 110.5
     and near.icao <> origin.icao
     and distance_km(origin.lat, origin.lon, near.lat, near.lon) <= :km
    join country on country.code = near.country
    where origin.iata = :iata
    order by km, near.icao
    limit :limit
    """,
    (
        Parameter("iata", "code", "IATA code of the airport to start from", minimum=3, required=True),
        Parameter("km", "number", "the largest distance in kilometres", default=100.0, minimum=0, maximum=20100),
        _LIMIT,
    ),
)

QUERIES: Final[Mapping[str, QueryKind]] = {kind.name: kind for kind in (_AIRPORTS, _COUNTRIES, _NEARBY)}


def run_query(database: sqlite3.Connection, name: str, given: Mapping[str, str]) -> dict[str, object]:
    """Answer the query `name` with the parameters `given`, as `{"columns": […], "rows": [[…]]}`.

    Raises `NotFound` for an unknown query, and `InvalidInput` naming each parameter that is wrong.
    """
    kind = QUERIES.get(name)
    if kind is None:
        raise NotFound(f"There is no query {name!r}; there are: {', '.join(QUERIES)}.")
    values = _read(kind, given)
    if kind is _NEARBY and not database.execute("select 1 from airport where iata = :iata", values).fetchone():
        raise InvalidInput(FieldError("/iata", f"no airport has the IATA code {values['iata']!r}"))
    cursor = database.execute(kind.sql, values)
    return {"columns": [column[0] for column in cursor.description], "rows": [list(row) for row in cursor]}


def _read(kind: QueryKind, given: Mapping[str, str]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    errors: list[FieldError] = []
    for parameter in kind.parameters:
        text = given.get(parameter.name)
        if text is not None:
            try:
                values[parameter.name] = parameter.read(text)
            except ValueError as error:
                errors.append(FieldError(f"/{parameter.name}", f"{error}, not {text[:40]!r}"))
        elif parameter.required:
            errors.append(FieldError(f"/{parameter.name}", f"is needed: {parameter.about}"))
        else:
            values[parameter.name] = parameter.default
    known = [parameter.name for parameter in kind.parameters]
    for name in given:
        if name not in known:
            nearest = difflib.get_close_matches(name, known, 1, 0.5)
            hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(known)}"
            errors.append(FieldError(f"/{name[:40]}", f"is not a parameter of {kind.name!r}; {hint}"))
    if errors:
        raise InvalidInput(*errors)
    return values
