"""How the user can call this program, for lines that are there to be copied."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program_name() -> str:
    """`gateway` where the shell finds it; otherwise what works from the working directory."""
    if shutil.which("gateway"):
        return "gateway"
    installed = Path(sys.executable).with_name("gateway")
    if not installed.exists():
        return f"{shlex.quote(sys.executable)} -m gateway"
    here = Path.cwd()
    near = installed.relative_to(here) if installed.is_relative_to(here) else installed
    return shlex.quote(str(near))
