"""Two hooks for a GraphQL server: one keeps addresses and numbers from the public, one says what is closed today."""

import json
import re
from pathlib import Path

from gateway.receiver import HookReceiver

INTEGRATION = json.loads(Path("integration.json").read_text())  # what `gateway integrations register` said
CLOSURES = Path("closures.json")  # read anew for each call
MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
TELEPHONE = re.compile(r"\+\d[\d ]{7,}\d")

receiver = HookReceiver([INTEGRATION["secret"]])
receiver.hook(
    {
        "name": "closures",
        "path": "/closures",
        "order": 1,
        "timeout_ms": 400,
        "capabilities": ["Desks"],
        "reads": ["/desks/nodes/*/name", "/desks/nodes/*/access"],
        "writes": ["/desks/nodes/*/access"],
    }
)
receiver.hook(
    {
        "name": "discretion",
        "path": "/discretion",
        "order": 2,
        "timeout_ms": 400,
        "failure_policy": "fail",
        "condition": 'query.tenant != "staff"',
    }
)


@receiver.transform("graphql", capability="Desks", hook="closures")
def say_what_is_closed(call):
    closures = json.loads(CLOSURES.read_text())
    with call.edit() as data:
        for desk in data["desks"]["nodes"]:
            if "access" in desk and desk.get("name") in closures:
                desk["access"] = closures[desk["name"]]


@receiver.transform("graphql", hook="discretion")
def keep_from_the_public(call):
    with call.edit() as data:
        hide(data)


def hide(value):
    """Take addresses and numbers out of every text in `value`, under whatever name or alias it was asked for."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, member in list(places):
        if isinstance(member, str):
            value[place] = TELEPHONE.sub("[telephone]", MAIL.sub("[e-mail]", member))
        else:
            hide(member)


if __name__ == "__main__":
    receiver.run(port=9100, control_url="http://127.0.0.1:8081", api_key=INTEGRATION["api_key"])
