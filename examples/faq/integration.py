"""The integration server of the FAQ assistant: it knows more than the FAQ about some things.

    HOOK_SECRET=whsec_… PORT=9302 CONTROL_URL=http://127.0.0.1:8081 API_KEY=gwk_… python integration.py

For opening hours it *replaces* the answer, since the day of the week counts; for financial aid it *supplements* it. For
everything else it is never asked: a handler serves one capability.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gateway.receiver import HookReceiver, merge_patch, replace, unchanged

if TYPE_CHECKING:
    from gateway.receiver import Call
    from gateway.receiver.answers import Answer

SATURDAY = 5

receiver = HookReceiver([os.environ["HOOK_SECRET"]])


@receiver.transform("question", capability="opening-hours", hook="opening-hours")
def opening_hours(call: Call) -> Answer:
    """The answer for today, instead of the one for any day."""
    day = (call.query.params or {}).get("day") or datetime.now(UTC).date().isoformat()
    closed = datetime.fromisoformat(day).weekday() >= SATURDAY
    answer = f"On {day} the library is {'closed' if closed else 'open from 9 to 18'}."
    return replace({**call.value, "answer": answer, "sources": ["opening-hours"]})


@receiver.transform("question", capability="financial-aid", hook="financial-aid")
def financial_aid(call: Call) -> Answer:
    """What the FAQ says, and what to read next."""
    if call.value.get("answer") is None:
        return unchanged()
    sources = [*call.value["sources"], "financial-aid"]
    return merge_patch({"next": "The form is at the office, or on its page.", "sources": sources})


if __name__ == "__main__":
    receiver.run(port=int(os.environ["PORT"]), control_url=os.environ["CONTROL_URL"], api_key=os.environ["API_KEY"])
