"""Who takes part: how each is started in front of the upstream, with the hook behind it."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.peers.processes import free_port, started

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CONF: Final = HERE / "conf"
KEY: Final = "benchmark-operator-key"


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the upstream and the hook listen."""

    upstream: int
    hook: int


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant that takes requests: its port and its first processes."""

    port: int
    pids: tuple[int, ...]


Start = Callable[[Ports, Path], AbstractContextManager[Running]]


def rendered(name: str, folder: Path, **values: object) -> str:
    """The configuration `name` with its places filled in, as a file in `folder`; its path."""
    text = (CONF / name).read_text()
    for place, value in {"FOLDER": folder, "CONF": CONF, **values}.items():
        text = text.replace(f"@{place}@", str(value))
    path = folder / name
    path.write_text(text)
    return str(path)


@contextmanager
def gateway(ports: Ports, folder: Path) -> Iterator[Running]:
    """This gateway, one process, with a hook for each of /hook/ and /zipf/, and none for /pass/."""
    port, control = free_port(), free_port()
    file = rendered("gateway.toml", folder, PORT=port, CONTROL=control, UPSTREAM=ports.upstream)
    words = [sys.executable, "-m", "gateway", "serve", "--config", file]
    with started(words, port, core=0, folder=folder, env={"PYTHONPATH": str(ROOT)}) as process:
        _register(control, ports.hook)
        yield Running(port, (process.pid,))


def _register(control: int, hook: int) -> None:
    envelope = {"max_cache_seconds": 3600}
    made = _call(
        control,
        "POST",
        "/v1/integrations",
        {"name": "bench", "base_url": f"http://127.0.0.1:{hook}", "envelope": envelope},
    )
    for name, kind, cache in (("echo", "hooked", False), ("reused", "reusable", True)):
        path = f"/v1/hooks?integration={made['id']}"
        fields = {"name": name, "path": "/echo", "types": [kind], "delivery": "binary", "cache": cache}
        hook_id = _call(control, "POST", path, fields)["id"]
        _call(control, "POST", f"/v1/hooks/{hook_id}/enable", {})


def _call(control: int, method: str, path: str, body: object) -> dict[str, str]:
    head = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    url = f"http://127.0.0.1:{control}{path}"
    request = urllib.request.Request(url, json.dumps(body).encode(), head, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            said: dict[str, str] = json.load(answer)
            return said
    except urllib.error.HTTPError as e:
        msg = f"{method} {path}: {e.status} {e.read().decode()}"
        raise RuntimeError(msg) from None


def script(name: str, *, module: bool = False) -> Start:
    """A Python program of this folder that takes its port, the upstream's and the hook's."""

    @contextmanager
    def start(ports: Ports, folder: Path) -> Iterator[Running]:
        port = free_port()
        program = ["-m", f"benchmarks.peers.{name}"] if module else [str(HERE / f"{name}.py")]
        words = [sys.executable, *program, str(port), str(ports.upstream), str(ports.hook)]
        with started(words, port, core=0, folder=folder, env={"PYTHONPATH": str(ROOT)}) as process:
            yield Running(port, (process.pid,))

    return start


def nginx(conf: str) -> Start:
    """Nginx with one worker and this configuration."""

    @contextmanager
    def start(ports: Ports, folder: Path) -> Iterator[Running]:
        port = free_port()
        file = rendered(conf, folder, PORT=port, UPSTREAM=ports.upstream, HOOK=ports.hook)
        with started([_program("nginx"), "-c", file], port, core=0, folder=folder) as process:
            yield Running(port, (process.pid,))

    return start


@contextmanager
def envoy(ports: Ports, folder: Path) -> Iterator[Running]:
    """Envoy with its Lua filter, one worker thread."""
    port = free_port()
    file = rendered("envoy_lua.yaml", folder, PORT=port, UPSTREAM=ports.upstream, HOOK=ports.hook)
    words = [_program("envoy"), "-c", file, "--concurrency", "1", "-l", "critical", "--disable-hot-restart"]
    with started(words, port, core=0, folder=folder) as process:
        yield Running(port, (process.pid,))


@contextmanager
def squid(ports: Ports, folder: Path) -> Iterator[Running]:
    """Squid with ICAP; the ICAP server, which echoes, counts as its hook and as a part of it."""
    port, icap = free_port(), free_port()
    folder.chmod(0o777)
    values = {"PORT": port, "ICAP": icap, "UPSTREAM": ports.upstream}
    with ExitStack() as stack:
        words = [_program("c-icap"), "-N", "-f", rendered("c-icap.conf", folder, **values)]
        server = stack.enter_context(started(words, icap, core=0, folder=folder))
        words = [_program("squid"), "-N", "-f", rendered("squid.conf", folder, **values)]
        proxy = stack.enter_context(started(words, port, core=0, folder=folder))
        yield Running(port, (proxy.pid, server.pid))


@contextmanager
def mitmproxy(ports: Ports, folder: Path) -> Iterator[Running]:
    """Mitmproxy as a reverse proxy, with an addon."""
    port = free_port()
    words = [_program("mitmdump"), "-q", "--mode", f"reverse:http://127.0.0.1:{ports.upstream}"]
    words += ["--listen-host", "127.0.0.1", "-p", str(port), "-s", str(HERE / "mitmproxy_addon.py")]
    words += ["--set", f"confdir={folder}"]
    with started(words, port, core=0, folder=folder, env={"HOOK": str(ports.hook)}) as process:
        yield Running(port, (process.pid,))


@contextmanager
def upstream_only(ports: Ports, _folder: Path) -> Iterator[Running]:
    """No gateway: the upstream itself."""
    yield Running(ports.upstream, ())


# In the order of the tables: ours, the floor, then the others.
CONTESTANTS: Final[dict[str, Start]] = {
    "gateway": gateway,
    "floor": script("floor_gateway", module=True),
    "nginx + Lua": nginx("nginx_lua.conf"),
    "nginx + njs": nginx("nginx_njs.conf"),
    "Envoy + Lua": envoy,
    "aiohttp": script("aiohttp_proxy"),
    "FastAPI + httpx": script("fastapi_proxy"),
    "Squid + c-icap": squid,
    "mitmproxy": mitmproxy,
    "upstream only": upstream_only,
}


def _program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path=f"{ROOT / '.venv-peers' / 'bin'}:/usr/sbin:/usr/bin")
    if found is None:
        raise FileNotFoundError(name)
    return found
