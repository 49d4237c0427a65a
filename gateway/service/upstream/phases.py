"""What a connection to an upstream is about at a moment."""

from __future__ import annotations

from typing import Final

IDLE: Final = 0  # between two exchanges: whatever comes was not asked for
UNSENT: Final = 1  # the request is written at the end of this round of the loop: what comes before is no answer to it
HEAD: Final = 2
SIZED: Final = 3
CHUNKED: Final = 4
TO_END: Final = 5  # the body ends where the connection ends
TUNNEL: Final = 6
OVER: Final = 7

WHERE: Final = {  # a connection was lost
    UNSENT: "before it was asked",
    HEAD: "before it had answered",
    TUNNEL: "after it had switched protocols",
}
