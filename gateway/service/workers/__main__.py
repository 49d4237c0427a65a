"""A worker as a process: `python -m gateway.service.workers LINK SOCKET…`, started by the supervisor only.

The arguments are numbers of inherited file descriptors: the worker's end of the link, and the listening sockets.
"""

from __future__ import annotations

import socket
import sys

from gateway.runtime import run
from gateway.service.workers.worker import work


def main() -> None:
    """Be a worker."""
    link, *listening = (socket.socket(fileno=int(each)) for each in sys.argv[1:])
    run(work(link, listening))


if __name__ == "__main__":
    main()
