"""Every setting, typed, documented, with its default.

One TOML file, the environment and the command line's flags come in; one frozen `Settings` goes out, or
one `ConfigError` that lists every problem. May import stores and transport for the syntax of what they
take. Nothing on the data path imports this package: whoever builds the gateway hands on plain values.
"""

from gateway.config.cache import CacheSettings
from gateway.config.care import BreakerSettings, HealthSettings
from gateway.config.changes import changed_keys, values_of
from gateway.config.control import ControlSettings
from gateway.config.encryption import encryption_keys
from gateway.config.insight import JournalSettings, RolloutSettings
from gateway.config.keys import ENV_PREFIX, SettingDescription, describe
from gateway.config.loading import load_settings
from gateway.config.relay import RelaySettings
from gateway.config.routes import RouteSettings, Selector
from gateway.config.server import ServerSettings
from gateway.config.settings import (
    CallSettings,
    DataSourceSettings,
    LogSettings,
    Settings,
    StoreSettings,
)
from gateway.config.upstreams import UpstreamSettings
from gateway.config.values import Address, UnixAddress

__all__ = [
    "ENV_PREFIX",
    "Address",
    "BreakerSettings",
    "CacheSettings",
    "CallSettings",
    "ControlSettings",
    "DataSourceSettings",
    "HealthSettings",
    "JournalSettings",
    "LogSettings",
    "RelaySettings",
    "RolloutSettings",
    "RouteSettings",
    "Selector",
    "ServerSettings",
    "SettingDescription",
    "Settings",
    "StoreSettings",
    "UnixAddress",
    "UpstreamSettings",
    "changed_keys",
    "describe",
    "encryption_keys",
    "load_settings",
    "values_of",
]
