"""The smallest hook: adds a note to every answer to a search."""

import os

from gateway.receiver import HookReceiver

receiver = HookReceiver([os.environ["HOOK_SECRET"]])


@receiver.transform("search")
def note(call):
    with call.edit() as result:
        result["note"] = "seen by my hook"


receiver.run(port=int(os.environ["PORT"]), control_url=os.environ["CONTROL_URL"], api_key=os.environ["API_KEY"])
