"""Is told of new entries in the guestbook, and writes a letter for each.

    SUBSCRIPTION_SECRET=whsec_… python notifier.py --port 9201 --db inbox.db --letters letters

What comes is kept in an inbox before it is acknowledged; a worker then writes the letters, one file for each entry.
However often a notification is delivered, there is one letter.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.receiver import Inbox

if TYPE_CHECKING:
    from gateway.receiver.inbox import Message

parser = argparse.ArgumentParser(description="Writes letters about entries in the guestbook.")
parser.add_argument("--port", type=int, default=9201)
parser.add_argument("--db", default="inbox.db")
parser.add_argument("--letters", type=Path, default=Path("letters"))
options = parser.parse_args()
options.letters.mkdir(exist_ok=True)
inbox = Inbox(options.db, [os.environ["SUBSCRIPTION_SECRET"]])


@inbox.on("guestbook.signed")
def write_letter(message: Message) -> None:
    """A letter, whole or not at all; the same one if it is written again."""
    entry = message.value()["data"]
    letter = options.letters / f"{entry['entry']}.txt"
    draft = letter.with_suffix(".draft")
    draft.write_text(f"{entry['name']} signed the guestbook:\n\n{entry['words']}\n")
    draft.rename(letter)


if __name__ == "__main__":
    inbox.run(port=options.port)
