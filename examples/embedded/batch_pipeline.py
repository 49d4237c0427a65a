"""A program that is no web application: queries from standard input, answers to standard output, each through hooks.

    HOOK_URL=https://fx.example.net HOOK_SECRET=whsec_… python batch_pipeline.py < countries.txt

The hook is declared in code, so the program needs no database, and any number of them may run at once.
"""

import os
import sys

from gateway import GatewayError, HookDraft, IntegrationDraft, Query, Settings
from gateway.sync import open_gateway

AIRPORTS = {"is": [{"code": "KEF", "name": "Keflavik"}], "pt": [{"code": "LIS", "name": "Lisbon"}]}


async def prepare(gateway):
    """Declare the hook. The secret is one that its server has, too."""
    draft = IntegrationDraft("fx", os.environ["HOOK_URL"], secret=os.environ["HOOK_SECRET"])
    registered = await gateway.registry.register(draft)
    hook = await gateway.registry.create_hook(registered.integration.id, HookDraft("names", "/names"))
    await gateway.registry.enable(hook.id)


def airports(query):
    """The data query: a plain function, in the calling thread."""
    return {"rows": AIRPORTS.get(query.params["country"], [])}


def main():
    """Answer one query a line."""
    settings = Settings.model_validate(
        {
            "store": {"url": "memory:"},
            "calls": {"allow_http": "HOOK_ALLOW_HTTP" in os.environ, "allow": os.environ.get("HOOK_ALLOW", "").split()},
        }
    )
    with open_gateway(settings, prepare=prepare) as gateway:
        pipeline = gateway.pipeline(airports)
        for line in sys.stdin:
            try:
                answer = pipeline.run(Query(type="search", params={"country": line.strip()}))
            except GatewayError as error:
                print(f"{line.strip()}: {error.detail}", file=sys.stderr)
                continue
            outcomes = ", ".join(f"{outcome.hook} {outcome.status}" for outcome in answer.outcomes)
            print(f"{answer.result.body.decode()}  # {outcomes}")


if __name__ == "__main__":
    main()
