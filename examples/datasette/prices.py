"""Adds to each row of a Datasette table what its price_eur is in the currency that the reader asks for."""

import json
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from gateway.receiver import HookReceiver

INTEGRATION = json.loads(Path("prices.json").read_text())  # what `gateway integrations register` said
RATES = {"CHF": Decimal("0.95"), "GBP": Decimal("0.85"), "USD": Decimal("1.10")}  # what a euro is worth; made up

receiver = HookReceiver([INTEGRATION["secret"]])
ASKED = "has(query.params._currency)"
ARRAY = 'has(query.params._shape) && query.params._shape == "array"'
receiver.hook(
    {
        "name": "prices",
        "path": "/prices",
        "timeout_ms": 400,
        "condition": f"{ASKED} && !({ARRAY})",
        "reads": ["/columns", "/rows"],
        "writes": ["/columns", "/rows"],
    }
)
receiver.hook(
    {
        "name": "prices-of-array",
        "path": "/prices-of-array",
        "timeout_ms": 400,
        "condition": f"{ASKED} && {ARRAY}",
        "granularity": "rows",
        "rows_at": "",
        "reads": ["/*/price_eur"],
        "writes": ["/*/price", "/*/currency"],
    }
)


@receiver.transform("table", hook="prices-of-array")  # ?_shape=array: a list of objects
def price_objects(call):
    with call.edit() as rows:
        for row in rows:
            row.update(priced(row.get("price_eur"), call.query.params["_currency"]))


@receiver.transform("table", hook="prices")  # ?_shape=objects, and without one: lists, whose columns are named once
def price_table(call):
    if "price_eur" not in call.value["columns"]:
        return
    place = call.value["columns"].index("price_eur")
    with call.edit() as table:
        table["columns"] += ["price", "currency"]
        for row in table["rows"]:
            if isinstance(row, dict):
                row.update(priced(row["price_eur"], call.query.params["_currency"]))
            else:
                row.extend(priced(row[place], call.query.params["_currency"]).values())


def priced(euros, currency):
    rate = RATES.get(currency)
    if rate is None or euros is None:
        return {"price": None, "currency": None}
    return {
        "price": float((Decimal(str(euros)) * rate).quantize(Decimal("0.01"), ROUND_HALF_EVEN)),
        "currency": currency,
    }


if __name__ == "__main__":
    receiver.run(port=9100, control_url="http://127.0.0.1:8081", api_key=INTEGRATION["api_key"])
