"""The data set: every airport of `airportsdata`, with the countries of `pycountry`, in an SQLite database in memory."""

from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING, Final

from gateway.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import airportsdata

__all__ = ["distance_km", "open_database"]

# Codes that airports use but that ISO 3166 has not assigned to a country.
_UNASSIGNED: Final = {"XK": "Kosovo"}

_EARTH_RADIUS_KM: Final = 6371.0088  # mean radius, IUGG

_SCHEMA: Final = """
create table country (code text primary key, name text not null) without rowid;
create table airport (
    icao text primary key, iata text not null, name text not null, city text not null,
    country text not null references country (code),
    elevation_ft real not null, lat real not null, lon real not null, tz text not null
) without rowid;
"""
_INDEXES: Final = """
create index airport_iata on airport (iata);
create index airport_country on airport (country);
create index airport_lat on airport (lat);
"""


def open_database() -> sqlite3.Connection:
    """The loaded database: tables `airport` and `country`, and the SQL function `distance_km`.

    The connection may be used from any thread. Raises `ConfigError` if the packages with the data are absent.
    """
    try:
        import airportsdata
        import pycountry
    except ModuleNotFoundError as error:
        if error.name not in {"airportsdata", "pycountry"}:
            raise
        raise ConfigError(
            f"The demo needs the package {error.name!r}, which is not installed: "
            "pip install 'query-hook-gateway[demo]'."
        ) from None
    airports = airportsdata.load("ICAO")
    named = {country.alpha_2: getattr(country, "common_name", country.name) for country in pycountry.countries}
    codes = sorted({airport["country"] for airport in airports.values()})
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.create_function("distance_km", 4, distance_km, deterministic=True)
    with database:
        database.executescript(_SCHEMA)
        database.executemany(
            "insert into country values (?, ?)",
            ((code, named.get(code) or _UNASSIGNED.get(code, code)) for code in codes),
        )
        database.executemany("insert into airport values (?, ?, ?, ?, ?, ?, ?, ?, ?)", _rows(airports))
        database.executescript(_INDEXES)
    return database


def _rows(airports: dict[str, airportsdata.Airport]) -> Iterator[tuple[str | float, ...]]:
    for code, airport in airports.items():
        yield (
            code,
            airport["iata"],
            airport["name"],
            airport["city"],
            airport["country"],
            airport["elevation"],
            round(airport["lat"], 4),
            round(airport["lon"], 4),
            airport["tz"],
        )


def distance_km(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The great-circle distance in kilometres between two points given in degrees (haversine formula)."""
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    half_lat, half_lon = (phi2 - phi1) / 2, math.radians(lon2 - lon1) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin(half_lon) ** 2
    return 2 * _EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(chord)))
