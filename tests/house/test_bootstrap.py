"""`./gw` on machines that are not what it hopes for: one sentence that says what to do, and no trace."""

import ast
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GW = ROOT / "gw"


@pytest.fixture
def checkout(tmp_path):
    """A bare checkout: the files that ./gw reads and nothing else."""
    for name in ("gw", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def gw(checkout):
    """The checkout's ./gw as a module."""
    loader = importlib.machinery.SourceFileLoader("gw_under_test", str(checkout / "gw"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def run(checkout, *arguments, **environment):
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_"))}
    return subprocess.run(
        [sys.executable, str(checkout / "gw"), *arguments],
        env={**clean, "PATH": os.defpath, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_it_can_be_executed():
    assert os.access(GW, os.X_OK)
    assert GW.read_text().startswith("#!/usr/bin/env python3\n")


def test_the_two_commands_of_the_readme_are_there():
    text = GW.read_text()
    assert "./gw demo" in text
    assert 'command == "test"' in text


def test_without_a_package_index_it_says_each_step_and_then_what_to_set_and_leaves_no_mark(checkout):
    done = run(checkout, "test", PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull, UV_OFFLINE="1", UV_NO_CACHE="1")
    assert (done.returncode, done.stdout) == (1, "")
    said = [line for line in done.stderr.splitlines() if line.startswith("gw: ")]
    assert said[0] == "gw: making .venv with Python {}.{}".format(*sys.version_info)
    assert "gw: installing the packages of requirements.lock (the first time takes a minute or two)" in said
    assert said[-1].startswith("gw: could not install the packages")
    assert "PIP_INDEX_URL" in said[-1]
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv" / ".gw-ready").exists()


def test_an_incomplete_checkout_is_named(checkout):
    (checkout / "requirements.lock").unlink()
    done = run(checkout, "test")
    assert (done.returncode, done.stderr) == (
        1,
        "gw: requirements.lock is missing: run ./gw from a whole checkout\n",
    )


def test_an_old_python_is_told_which_one_is_needed(gw, monkeypatch):
    monkeypatch.setattr(gw.sys, "version_info", (3, 9, 2))
    monkeypatch.setattr(gw.shutil, "which", lambda name: None)
    with pytest.raises(gw.Stop, match=r"this is Python 3\.9, and the gateway needs 3\.11 or newer"):
        gw.right_python()


def test_it_can_be_read_by_an_old_python():
    ast.parse(GW.read_text(), feature_version=(3, 6))


def test_an_installation_is_made_again_when_the_lock_or_the_project_changes(gw, checkout):
    first = gw.fingerprint()
    assert gw.fingerprint() == first
    (checkout / "requirements.lock").write_text("idna==3.20 --hash=sha256:00\n")
    second = gw.fingerprint()
    (checkout / "pyproject.toml").write_text("")
    assert len({first, second, gw.fingerprint()}) == 3


def test_what_would_install_outside_of_the_environment_is_taken_from_the_installers(gw, monkeypatch):
    for name in ("PIP_TARGET", "PIP_USER", "PIP_PREFIX", "UV_SYSTEM_PYTHON", "PYTHONPATH"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/")
    environment = gw.environment()
    assert not {"PIP_TARGET", "PIP_USER", "PIP_PREFIX", "UV_SYSTEM_PYTHON", "PYTHONPATH"} & set(environment)
    assert environment["PIP_INDEX_URL"] == "http://127.0.0.1:1/"


def test_uv_is_installed_as_the_lock_pins_it(gw, checkout):
    (checkout / ".venv").mkdir()
    text = gw.locked("uv").read_text()
    assert text.startswith("uv==")
    assert "--hash=sha256:" in text
    assert text.count("==") == 1
