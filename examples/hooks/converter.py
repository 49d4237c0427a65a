"""A hook that shows prices in the currency that was asked for, and says how long its answer may be used again.

    HOOK_SECRET=whsec_… PORT=9300 CONTROL_URL=http://127.0.0.1:8081 API_KEY=gwk_… python converter.py rates.json

The query's params name the currency: `{"currency": "USD"}`. The result has `rows` with a `price` in euros. The file
says what one euro is worth, `{"USD": "1.10"}`; it is read anew for each call, so that it can be replaced at any time.
The rates beside this file are made up.
Ask the operator for `reads = ["/rows/*/price"]`: then only prices leave the gateway.
"""

from __future__ import annotations

import json
import os
import sys
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.receiver import HookReceiver, reject, replace, unchanged

if TYPE_CHECKING:
    from gateway.receiver import Call
    from gateway.receiver.answers import Answer

RATES = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("rates.json"))
CENT = Decimal("0.01")
AN_HOUR = 3600

receiver = HookReceiver([os.environ["HOOK_SECRET"]])


@receiver.transform("search", hook="converter")
def convert(call: Call) -> Answer:
    """The prices in the currency of the query."""
    currency = (call.query.params or {}).get("currency", "EUR")
    if currency == "EUR":
        return unchanged(max_age=AN_HOUR)
    rates = json.loads(RATES.read_text())
    if currency not in rates:
        return reject(f"There is no rate for {currency!r}.", known=sorted(rates))
    rate = Decimal(rates[currency])
    rows = [{**row, "price": converted(row["price"], rate), "currency": currency} for row in call.value["rows"]]
    return replace({**call.value, "rows": rows}, max_age=AN_HOUR)


def converted(price: float, rate: Decimal) -> float:
    """Rounded to cents, half to even, as banks do."""
    return float((Decimal(str(price)) * rate).quantize(CENT, ROUND_HALF_EVEN))


if __name__ == "__main__":
    receiver.run(port=int(os.environ["PORT"]), control_url=os.environ["CONTROL_URL"], api_key=os.environ["API_KEY"])
