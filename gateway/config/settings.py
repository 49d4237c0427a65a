"""The settings, section by section. Each field's description is its line in the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gateway.config.cache import CacheSettings
from gateway.config.care import BreakerSettings, HealthSettings
from gateway.config.control import ControlSettings
from gateway.config.insight import JournalSettings, RolloutSettings
from gateway.config.kinds import FROZEN, Count, ListenAddress, Switch
from gateway.config.relay import RelaySettings
from gateway.config.routes import RouteSettings, check_routes
from gateway.config.server import ServerSettings
from gateway.config.upstreams import UpstreamSettings, UpstreamUrl
from gateway.config.values import Address, UnixAddress, parse_allowed, parse_peer, parse_port, parse_url
from gateway.stores.opening import parse_store_url
from gateway.stores.sealing import parse_encryption_key


def _encryption_key(value: SecretStr) -> SecretStr:
    parse_encryption_key(value.get_secret_value())
    return value


def _store_url(value: str) -> str:
    parse_store_url(value)
    return value


EncryptionKey = Annotated[SecretStr, AfterValidator(_encryption_key)]
Url = Annotated[str, AfterValidator(parse_url)]
Port = Annotated[int, BeforeValidator(parse_port)]


class StoreSettings(BaseModel):
    """[store]: where what is registered lasts."""

    model_config = FROZEN

    url: Annotated[str, AfterValidator(_store_url)] = Field(
        default="sqlite:///gateway.db",
        description="`sqlite:///relative.db`, `sqlite:////absolute.db`, or `memory:`, which forgets all at the end.",
    )
    encryption_key: EncryptionKey | None = Field(
        default=None,
        description="What secrets in the database are encrypted with; `gateway config new-key` makes one. "
        "Unset, and without a file, they are kept as they are.",
    )
    encryption_key_file: Path | None = Field(
        default=None,
        description="A file that holds this key, instead of `encryption_key`.",
    )
    previous_encryption_keys: tuple[EncryptionKey, ...] = Field(
        default=(),
        description="Keys that secrets may still be encrypted with: at the start they are encrypted anew with the "
        "present one.",
    )
    previous_encryption_keys_file: Path | None = Field(
        default=None,
        description="A file with further previous keys, one a line; empty lines do not count.",
    )
    audit_entries: Count = Field(
        default=100_000,
        ge=1,
        le=100_000_000,
        description="How many entries of the audit log are kept, the latest ones.",
    )
    audit_days: Count = Field(
        default=365,
        ge=1,
        le=36_500,
        description="How long an entry of the audit log is kept, in days.",
    )


class CallSettings(BaseModel):
    """[calls]: what holds for calls to integration servers."""

    model_config = FROZEN

    allow_http: Switch = Field(
        default=False,
        description="Whether integrations may have http:// base URLs; otherwise https only.",
    )
    allow: tuple[Annotated[str, AfterValidator(parse_allowed)], ...] = Field(
        default=(),
        description="Networks, addresses and host names (also `*.internal`) that calls may go to beyond public ones.",
    )
    ports: tuple[Port, ...] = Field(
        default=(),
        description="The ports of public addresses that calls may go to; with none, any. "
        "What `allow` names may have any port.",
    )
    timeout_ms: Count = Field(
        default=1000,
        ge=1,
        description="The time limit of a hook that sets none, in ms. At most calls.max_timeout_ms.",
    )
    max_timeout_ms: Count = Field(
        default=10_000,
        ge=1,
        le=300_000,
        description="The highest time limit that a hook may have, in ms.",
    )
    budget_ms: Count = Field(
        default=2000,
        ge=1,
        le=600_000,
        description="The time that all hooks of one query may take together, in ms.",
    )
    max_reply_bytes: Count = Field(
        default=8 * 1024 * 1024,
        ge=1,
        le=1024 * 1024 * 1024,
        description="The largest reply of a hook, as received and after decompression.",
    )
    max_buffered_bytes: Count = Field(
        default=256 * 1024 * 1024,
        ge=1024 * 1024,
        description="The memory that replies may take while they come in, all calls together; beyond, `overload`.",
    )
    max_result_bytes: Count = Field(
        default=8 * 1024 * 1024,
        ge=1,
        le=1024 * 1024 * 1024,
        description="The largest result that is sent to hooks; past it, hooks are skipped with the reason `size`.",
    )
    max_condition_bytes: Count = Field(
        default=256 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="The largest result that a hook's condition looks into; past it, the hook is skipped with the "
        "reason `size`. Handing over 256 KiB takes about 15 ms.",
    )
    # Python's own recursion limit is 1000 frames, and a step into a document takes up to three: 100 levels are far
    # from it, and several times what real results have.
    max_json_depth: Count = Field(
        default=100,
        ge=2,
        le=200,
        description="How deep the arrays and objects of a JSON document may be nested.",
    )
    batch_rows: Count = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="How many rows a call of a row-wise hook has that sets no `batch_rows`.",
    )
    parallel_batches: Count = Field(
        default=8,
        ge=1,
        le=1000,
        description="How many batches of one result are called at once; never more than the hook's `max_concurrency`.",
    )
    coalesce_ms: Count = Field(
        default=2,
        ge=0,
        le=10,
        description="How long a result for a hook with `coalesce` waits for others to share its call, in ms; 0: never.",
    )
    max_depth: Count = Field(
        default=3,
        ge=0,
        le=100,
        description="How many gateway calls a query may be nested in; past it, hooks are skipped.",
    )
    max_concurrency: Count = Field(
        default=100,
        ge=1,
        le=10_000,
        description="How many calls of one hook may be under way at once: the default, and the most a hook may set.",
    )
    max_waiting: Count = Field(
        default=100,
        ge=0,
        le=100_000,
        description="How many more calls may wait for one hook with `on_overload` `wait`; past it, they fail at once.",
    )
    max_concurrency_total: Count = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="How many calls may be under way at once for all hooks together.",
    )
    max_waiting_total: Count = Field(
        default=1000,
        ge=0,
        le=100_000,
        description="How many more calls may wait for that, of hooks with `on_overload` `wait`.",
    )
    require_ownership: Switch = Field(
        default=True,
        description="Whether a hook's address must agree to be called (OPTIONS handshake) before the first enable.",
    )
    source: str = Field(
        default="/gateway",
        min_length=1,
        max_length=1024,
        pattern=r"^[!-~]+$",
        description="The `source` attribute of the CloudEvents sent to hooks (a URI reference).",
    )
    origin: str = Field(
        default="gateway",
        min_length=1,
        max_length=253,
        pattern=r"^[!-~]+$",
        description="The name given in WebHook-Request-Origin when ownership is asked for.",
    )

    @model_validator(mode="after")
    def _limits_fit(self) -> Self:
        if self.timeout_ms > self.max_timeout_ms:
            raise ValueError(
                f"timeout_ms ({self.timeout_ms}) must be at most max_timeout_ms ({self.max_timeout_ms}); "
                "lower the one or raise the other",
            )
        return self


class LogSettings(BaseModel):
    """[log]: what is logged, and how."""

    model_config = FROZEN

    format: Literal["auto", "json", "text"] = Field(
        default="auto",
        description="`json` is one object a line, `text` is for people; `auto` is text on a terminal, else json.",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info",
        description="The least important level that is logged.",
    )


class DataSourceSettings(BaseModel):
    """[data_source]: what answers POST /v1/query."""

    model_config = FROZEN

    url: Url | None = Field(
        default=None,
        description="POST /v1/query sends the query as JSON to this URL by POST; the JSON reply is the result. "
        "Unset, there is no POST /v1/query.",
    )


class Settings(BaseSettings):
    """Every setting. Constructing it reads nothing but its arguments; `load_settings` reads files and variables."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    listen: ListenAddress = Field(
        default=Address("127.0.0.1", 8080),
        description="Where the standalone gateway listens: `host:port`, `[v6]:port`, or the path of a Unix socket. "
        "`[::]` takes IPv4 as well.",
    )
    upstream: UpstreamUrl | None = Field(
        default=None,
        description="The query API behind the gateway: shorthand for one route that matches everything. `http://…`, "
        "`https://…`, or `http+unix:///path/to.sock` (a base path may follow after a colon).",
    )
    trusted_proxies: tuple[Annotated[str, AfterValidator(parse_peer)], ...] = Field(
        default=(),
        description="Networks, addresses and `unix` (whoever comes through a unix socket) whose `Forwarded` and "
        "`X-Forwarded-…` headers are continued; those of others are replaced.",
    )
    server: ServerSettings = ServerSettings()
    upstreams: UpstreamSettings = UpstreamSettings()
    workers: Count = Field(
        default=1,
        ge=1,
        le=256,
        description="How many processes answer queries; more than one are supervised by one more. One for each core is "
        "the most that is of use.",
    )
    control: ControlSettings = ControlSettings()
    store: StoreSettings = StoreSettings()
    calls: CallSettings = CallSettings()
    cache: CacheSettings = CacheSettings()
    breaker: BreakerSettings = BreakerSettings()
    health: HealthSettings = HealthSettings()
    journal: JournalSettings = JournalSettings()
    rollout: RolloutSettings = RolloutSettings()
    relay: RelaySettings = RelaySettings()
    log: LogSettings = LogSettings()
    data_source: DataSourceSettings = DataSourceSettings()
    routes: tuple[RouteSettings, ...] = Field(
        default=(),
        description="The routes, instead of `upstream`; the first that fits a request takes it.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the arguments: whoever embeds the gateway must not be surprised by a variable."""
        return (init_settings,)

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if self.upstream is not None and self.routes:
            raise ValueError(
                "`upstream` is shorthand for one route, so it cannot stand beside `routes`: remove one of them"
            )
        if self.listen == self.control.listen and (isinstance(self.listen, UnixAddress) or self.listen.port != 0):
            other = "path" if isinstance(self.listen, UnixAddress) else "port"
            raise ValueError(f"`listen` and `control.listen` are the same address: give one of them another {other}")
        check_routes(self.routes)
        return self

    def effective_routes(self) -> tuple[RouteSettings, ...]:
        """The routes; `upstream` spelt out as the one route it stands for, whose queries have the type `query`."""
        if self.upstream is None:
            return self.routes
        return (RouteSettings(path="/*", upstream=self.upstream),)
