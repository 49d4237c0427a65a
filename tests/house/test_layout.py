"""The rooms of the house: what lies where, how large it is, and what it is called."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MODULES = sorted((ROOT / "gateway").rglob("*.py"))
PACKAGES = sorted(path.parent for path in MODULES if path.name == "__init__.py")
EXTENSIONS = sorted(path for path in (ROOT / "extensions").glob("*") if path.is_dir() and path.name != "__pycache__")
OURS = [
    path
    for folder in ("gateway", "extensions", "tests", "benchmarks", "examples", "docs", ".ci")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.is_file() and path.suffix in {".py", ".md", ".toml", ".sql", ".yml", ""} and "__pycache__" not in path.parts
] + [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "pyproject.toml", "gw")]


def name_of(path):
    return str(path.relative_to(ROOT))


def test_every_folder_with_python_files_is_a_package():
    assert sorted({path.parent for path in MODULES}) == PACKAGES


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is_about(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_has_more_than_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def test_no_module_has_a_name_that_says_nothing():
    saying_nothing = re.compile(r"(^|_)(util|utils|helper|helpers|common|manager|managers|misc)($|_)")
    assert [name_of(path) for path in MODULES + EXTENSIONS if saying_nothing.search(path.stem)] == []


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_everything_that_a_package_exports_exists(path):
    package = importlib.import_module(".".join(path.relative_to(ROOT).parts))
    assert [name for name in getattr(package, "__all__", ()) if not hasattr(package, name)] == []


def test_the_extensions_folders_packages_entry_points_and_extras_are_the_same():
    packaged = {Path(entry) for entry in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    folders = {path.relative_to(ROOT) for path in EXTENSIONS}
    assert packaged == folders | {Path("gateway")}
    offered = {
        value.split(":")[0].split(".")[0]
        for group in PROJECT["project"].get("entry-points", {}).values()
        for value in group.values()
    }
    assert offered - {"gateway"} == {path.name for path in EXTENSIONS}
    extras = set(PROJECT["project"]["optional-dependencies"])
    assert {path.name.removeprefix("gateway_") for path in EXTENSIONS} <= extras


def test_the_extensions_folder_is_not_itself_a_package():
    assert not (ROOT / "extensions" / "__init__.py").exists()


def test_the_core_never_imports_an_extension():
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith(("gateway_", "extensions"))], name_of(path)


def test_nothing_is_left_unfinished():
    unfinished = re.compile(r"\b(TODO|FIXME|XXX)\b|raise NotImplementedError|pragma: no cover")
    found = [name_of(path) for path in MODULES if unfinished.search(path.read_text())]
    assert found == []


def test_every_silenced_type_error_names_its_code_and_its_reason():
    silenced = re.compile(r"#\s*type:\s*ignore(?!\[[a-z-]+(, ?[a-z-]+)*\]\s+#\s*\S)")
    found = [name_of(path) for path in MODULES if silenced.search(path.read_text())]
    assert found == []


def test_no_file_names_a_path_of_one_machine():
    of_one_machine = re.compile(r"/(work|root|home)/[a-z]|/tmp/[a-z]")
    found = [name_of(path) for path in OURS if path != Path(__file__) and of_one_machine.search(path.read_text())]
    assert found == []


def test_no_test_waits_for_real_time():
    waits = re.compile(r"\b(?:asyncio|time)\.sleep\(\s*([0-9.]+)")
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        found += [(name_of(path), seconds) for seconds in waits.findall(path.read_text()) if float(seconds) >= 0.1]
    assert found == []


def test_test_files_have_unique_names_and_no_packages():
    names = [path.name for path in sorted((ROOT / "tests").rglob("*.py")) if path.name != "conftest.py"]
    assert "__init__.py" not in names
    assert len(names) == len(set(names))


def test_every_folder_of_tests_but_this_one_is_run_by_default():
    folders = {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert {f"tests/{name}" for name in folders - {"house"}} == set(
        PROJECT["tool"]["pytest"]["ini_options"]["testpaths"]
    )
