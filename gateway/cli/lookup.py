"""From what a person writes to what the API wants: integrations and hooks by name or id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gateway.cli.failures import Failure

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.cli.client import ControlClient

_INTEGRATION_ID: Final = re.compile(r"int_[0-9a-z]{16}")
_SUBSCRIPTION_ID: Final = re.compile(r"sub_[0-9a-z]{16}")
_HOOK_ID: Final = re.compile(r"hk_[0-9a-z]{16}")


def find_integration(client: ControlClient, text: str) -> dict[str, Any]:
    """The integration with this id or name. Raises `Failure` if there is none."""
    if _INTEGRATION_ID.fullmatch(text):
        return _integration(client, text)
    for integration in client.pages("/v1/integrations"):
        if integration["name"] == text:
            return dict(integration)
    raise Failure(f"There is no integration {text!r}; `gateway integrations list` shows those there are.")


def find_hook_id(client: ControlClient, text: str, *, integration_id: str | None) -> str:
    """The id of the hook with this id, `integration/hook` name, or name where only one hook has it.

    `integration_id` limits the search to one integration. Raises `Failure` if there is none, or more than one.
    """
    if _HOOK_ID.fullmatch(text):
        return text
    owner, slash, name = text.rpartition("/")
    found = [hook for hook in client.pages("/v1/hooks", query={"integration": integration_id}) if hook["name"] == name]
    if slash:
        owners = integration_names(client, found)
        found = [hook for hook in found if owner in {hook["integration_id"], owners.get(hook["integration_id"])}]
    if len(found) == 1:
        return str(found[0]["id"])
    if found:
        ids = ", ".join(hook["id"] for hook in found)
        raise Failure(
            f"{len(found)} hooks have the name {name!r}; name one as integration/{name}, or by its id ({ids})."
        )
    raise Failure(f"There is no hook {text!r}; `gateway hooks list` shows those there are.")


def find_subscription_id(client: ControlClient, text: str, *, integration_id: str | None) -> str:
    """The id of the subscription with this id, or with this name where only one has it.

    `integration_id` limits the search to one integration. Raises `Failure` if there is none, or more than one.
    """
    if _SUBSCRIPTION_ID.fullmatch(text):
        return text
    listed = client.pages("/v1/subscriptions", query={"integration": integration_id})
    found = [str(each["id"]) for each in listed if each["name"] == text]
    if len(found) == 1:
        return found[0]
    if found:
        raise Failure(f"{len(found)} subscriptions have the name {text!r}; name one by its id ({', '.join(found)}).")
    raise Failure(f"There is no subscription {text!r}; `gateway subscriptions list` shows those there are.")


def integration_names(client: ControlClient, hooks: Collection[Mapping[str, Any]]) -> dict[str, str]:
    """The names of the integrations that these hooks belong to, by id."""
    ids = {hook["integration_id"] for hook in hooks}
    if len(ids) > 1:  # only an operator sees hooks of several
        return {each["id"]: each["name"] for each in client.pages("/v1/integrations")}
    return {each: _integration(client, each)["name"] for each in ids}


def _integration(client: ControlClient, integration_id: str) -> dict[str, Any]:
    found: dict[str, Any] = client.call("GET", f"/v1/integrations/{integration_id}")
    return found
