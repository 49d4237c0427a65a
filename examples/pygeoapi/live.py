"""Adds to each bicycle station how many bicycles are there now, which the map server does not know."""

import json
from pathlib import Path

from gateway.receiver import HookReceiver

INTEGRATION = json.loads(Path("integration.json").read_text())  # what `gateway integrations register` said
LIVE = Path("live.json")  # read anew for each call; the stations' own system writes it every minute

receiver = HookReceiver([INTEGRATION["secret"]])
receiver.hook(
    {
        "name": "live",
        "path": "/live",
        "timeout_ms": 300,
        "reads": ["/id", "/features/*/id"],
        "writes": [
            "/properties/bikes",
            "/properties/seen",
            "/features/*/properties/bikes",
            "/features/*/properties/seen",
        ],
    }
)


@receiver.transform("features", capability="stations", hook="live")
def add_what_is_there_now(call):
    live = json.loads(LIVE.read_text())
    with call.edit() as document:
        for feature in document.get("features", [document]):  # a collection, or one station
            if feature.get("id") in live:
                feature["properties"] = live[feature["id"]]


if __name__ == "__main__":
    receiver.run(port=9100, control_url="http://127.0.0.1:8081", api_key=INTEGRATION["api_key"])
