"""A hook that takes e-mail addresses and telephone numbers out of every text of a result.

    HOOK_SECRET=whsec_… PORT=9301 CONTROL_URL=http://127.0.0.1:8081 API_KEY=gwk_… python redactor.py

A redactor that is down must not let anything through. So let the operator give its integration
`failure_policy = "fail"`, and the hook asks for it: then a query fails rather than show what should be hidden.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from gateway.receiver import HookReceiver

if TYPE_CHECKING:
    from gateway.receiver import Call

MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
PHONE = re.compile(r"(?<!\w)\+?\d(?:[ ()/.-]{0,2}\d){7,14}(?!\w)")

receiver = HookReceiver([os.environ["HOOK_SECRET"]])
receiver.hook({"name": "redactor", "path": "/redactor", "failure_policy": "fail", "timeout_ms": 2000})


@receiver.transform(hook="redactor")
def redact(call: Call) -> Any:
    """The result without them; unchanged, and so without a byte sent back, where there are none."""
    with call.edit() as result:
        hide(result)


def hide(value: Any) -> Any:
    """`value` with every text in it redacted, in place where that can be."""
    if isinstance(value, str):
        return PHONE.sub("[telephone]", MAIL.sub("[e-mail]", value))
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, member in list(places):
        hidden = hide(member)
        if hidden is not member and hidden != member:
            value[place] = hidden
    return value


if __name__ == "__main__":
    receiver.run(port=int(os.environ["PORT"]), control_url=os.environ["CONTROL_URL"], api_key=os.environ["API_KEY"])
