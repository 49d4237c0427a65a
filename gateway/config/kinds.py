"""What the settings' models have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

FROZEN = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
Count = Annotated[int, Field(strict=True)]
Switch = Annotated[bool, Field(strict=True)]
