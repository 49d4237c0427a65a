"""What the control API says about the configuration."""

from __future__ import annotations

from pydantic import Field

from gateway.service.models.base import ApiModel

__all__ = ["ConfigReloaded"]


class ConfigReloaded(ApiModel):
    """What became of a configuration that was read again. Settings are named by their keys."""

    changed: list[str] = Field(
        description="The settings that differ from what was running.",
        examples=[["listen", "server.drain_seconds"]],
    )
    applied: list[str] = Field(description="Those of them that are in effect now.", examples=[["server.drain_seconds"]])
    needs_restart: list[str] = Field(description="Those of them that wait for a restart.", examples=[["listen"]])
    renewed: list[str] = Field(
        description="The files of certificates that were read again.", examples=[["/etc/gateway/tls/fullchain.pem"]]
    )
