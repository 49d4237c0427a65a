"""The files in `deploy`: what can be checked of them without a manager of services and without a container engine."""

from __future__ import annotations

import fnmatch
import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway.cli.app import program
from gateway.config import load_settings
from gateway.service.activation import CONTROL, GATEWAY

ROOT = Path(__file__).parents[2]
SYSTEMD = ROOT / "deploy" / "systemd"
CONTAINER = ROOT / "deploy" / "container"
UNITS = sorted(path for path in SYSTEMD.iterdir() if path.suffix in {".service", ".socket"})
SERVICE = (SYSTEMD / "query-hook-gateway.service").read_text()
CONTAINERFILE = (CONTAINER / "Containerfile").read_text().replace("\\\n", " ")
ANALYZE = shutil.which("systemd-analyze")
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


def values(unit, name):
    """All values of a directive, in their order."""
    return re.findall(rf"^{name}=(.*)$", unit, re.MULTILINE)


@pytest.fixture
def units(tmp_path):
    """The units, with a program that exists in the place of the installed one."""
    for path in UNITS:
        text = path.read_text().replace("/opt/query-hook-gateway/bin/gateway", "/bin/true")
        (tmp_path / path.name).write_text(text)
    return tmp_path


@needs_analyze
def test_systemd_finds_nothing_wrong_with_the_units(units):
    done = subprocess.run(
        [ANALYZE, "verify", "--man=no", *(path.name for path in UNITS)],
        cwd=units, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    ours = [line for line in done.stderr.splitlines() if "query-hook-gateway" in line]
    assert ours == []


@needs_analyze
def test_systemd_says_that_the_service_is_little_exposed(units):
    done = subprocess.run(
        [ANALYZE, "security", "--offline=yes", "--no-pager", "--threshold=20", "./query-hook-gateway.service"],
        cwd=units, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_sockets_have_the_names_that_the_gateway_knows_and_belong_to_the_service():
    names = {name for path in UNITS for name in values(path.read_text(), "FileDescriptorName")}
    assert names == {GATEWAY, CONTROL}
    for path in UNITS:
        if path.suffix == ".socket":
            assert values(path.read_text(), "Service") == ["query-hook-gateway.service"]
            assert values(path.read_text(), "Accept") == []


def test_the_service_is_told_of_and_ends_as_the_gateway_does():
    assert values(SERVICE, "Type") == ["notify"]
    assert values(SERVICE, "ExecReload") == ["/bin/kill -HUP $MAINPID"]
    assert values(SERVICE, "KillMode") == ["mixed"]  # workers are the main process's to end
    assert values(SERVICE, "NoNewPrivileges") == ["yes"]
    assert values(SERVICE, "CapabilityBoundingSet") == [""]


def test_the_programs_that_are_started_have_the_options_that_they_are_given():
    (start,) = values(SERVICE, "ExecStart")
    _, name, *options = start.split()
    assert set(options[::2]) <= {flag for option in program.commands[name].params for flag in option.opts}
    checked = re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", CONTAINERFILE, re.MULTILINE)[1]
    assert checked == '["gateway", "ready", "--live"]'
    assert "--live" in {flag for option in program.commands["ready"].params for flag in option.opts}


def test_the_configuration_to_begin_with_loads_and_names_the_folders_of_the_service(tmp_path):
    text = (ROOT / "deploy" / "gateway.toml").read_text()
    keys = tmp_path / "operator-keys"
    keys.write_text("an-operator-key-of-more-than-sixteen-characters\n")
    file = tmp_path / "gateway.toml"
    file.write_text(text.replace("/etc/query-hook-gateway/operator-keys", str(keys)))
    settings = load_settings(file, {})
    assert settings.store.url.startswith(f"sqlite:////var/lib/{values(SERVICE, 'StateDirectory')[0]}/")


def copied():
    """What the build takes from the repository."""
    for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINERFILE, re.MULTILINE):
        yield from line.split()[:-1]


def test_what_the_container_is_built_from_is_there_and_is_not_ignored():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = [line[1:] for line in ignored if line.startswith("!")]
    assert ignored[0] == "*"
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source, f"{name}*") for name in allowed), source


def test_what_the_container_is_built_from_is_enough_to_build_the_wheel(tmp_path):
    for source in copied():
        if not source.startswith("deploy/"):
            here = ROOT / source
            skip = shutil.ignore_patterns("__pycache__")
            shutil.copytree(here, tmp_path / source, ignore=skip) if here.is_dir() else shutil.copy(here, tmp_path)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "built"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "built").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert "gateway/__main__.py" in archive.namelist()


def test_the_container_does_not_run_as_root_and_its_last_stage_has_no_build_tools():
    *_, last = CONTAINERFILE.split("\nFROM ")
    assert last.startswith("docker.io/library/python:3.13-slim\n")
    (user,) = re.findall(r"^USER (\d+):\d+$", last, re.MULTILINE)
    assert int(user) >= 1000
    assert "pip install" not in last
    assert re.findall(r"^(?:STOPSIGNAL|ENTRYPOINT|CMD) .*$", last, re.MULTILINE) == [
        "STOPSIGNAL SIGTERM",
        'ENTRYPOINT ["gateway"]',
        'CMD ["serve"]',
    ]


def test_every_package_in_the_container_comes_with_its_hash():
    for line in re.findall(r"-m pip install (.*?)(?:&&|$)", CONTAINERFILE, re.MULTILINE):
        assert "--require-hashes" in line or line.split() == ["--no-deps", "/build/wheel/*.whl"]


def test_the_container_s_locks_are_those_of_the_project():
    """If this fails: .venv/bin/python tests/house/render_container_locks.py"""
    spec = importlib.util.spec_from_file_location("locks", Path(__file__).with_name("render_container_locks.py"))
    locks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(locks)
    assert {name: (CONTAINER / name).read_text() for name in locks.rendered()} == locks.rendered()
