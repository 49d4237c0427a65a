"""Adds to each series that Prometheus returns which team owns its instance, and who is on call for it."""

import json
from pathlib import Path

from gateway.receiver import HookReceiver

INTEGRATION = json.loads(Path("integration.json").read_text())  # what `gateway integrations register` said
OWNERS = Path("owners.json")  # read anew for each call: who is on call changes

receiver = HookReceiver([INTEGRATION["secret"]])
receiver.hook(
    {
        "name": "owners",
        "path": "/owners",
        "timeout_ms": 300,
        "granularity": "rows",
        "rows_at": "",
        "reads": ["/*/metric/instance"],
        "writes": ["/*/metric/team", "/*/metric/on_call"],
    }
)


@receiver.transform("query", "query_range", hook="owners")
def add_owners(call):
    owners = json.loads(OWNERS.read_text())
    with call.edit() as series:
        for each in series:
            labels = each.get("metric", {})
            labels.update(owners.get(labels.get("instance"), {}))


if __name__ == "__main__":
    receiver.run(port=9100, control_url="http://127.0.0.1:8081", api_key=INTEGRATION["api_key"])
