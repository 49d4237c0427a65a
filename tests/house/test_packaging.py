"""What is shipped: the wheel, the lock file, the licence."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import gateway

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built by the locked build backend without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_the_wheel_holds_every_file_of_the_package(wheel):
    present = {
        str(path.relative_to(base))
        for base, folder in ((ROOT, ROOT / "gateway"), (ROOT / "extensions", ROOT / "extensions"))
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "gateway/py.typed" in present
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert shipped == present


def test_the_wheel_holds_the_licence_and_the_version_of_the_package(wheel):
    (licence,) = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
    assert "Apache License" in wheel.read(licence).decode()
    (metadata,) = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    assert f"\nVersion: {gateway.__version__}\n" in wheel.read(metadata).decode()


def test_the_wheel_installs_the_command_gateway(wheel):
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "gateway = gateway.cli:main" in wheel.read(entry_points).decode()


def test_the_lock_file_holds_hashes_and_no_addresses():
    assert re.search(r"://|--(extra-)?index-url|--find-links", LOCK) is None
    entries = re.split(r"\n(?=\S)", LOCK.strip())
    assert [entry.split("==")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_lock_file_pins_every_dependency_that_the_project_declares():
    def normal(requirement):
        return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-").replace(".", "-")

    project = PROJECT["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["demo"]]
    declared += [name for group in PROJECT["dependency-groups"].values() for name in group if isinstance(name, str)]
    pinned = {normal(line) for line in LOCK.splitlines() if "==" in line and not line.startswith(" ")}
    assert {normal(requirement) for requirement in declared} - pinned == set()


def test_there_is_no_lock_file_of_another_kind():
    assert [name for name in ("uv.lock", "poetry.lock", "Pipfile.lock") if (ROOT / name).exists()] == []


def test_the_licence_is_the_one_that_the_project_names():
    text = (ROOT / "LICENSE").read_text()
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
