import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from CRLMSegmentationLib.slicer import dependencies
from CRLMSegmentationLib.slicer.dependencies import PACKAGES, WITHOUT_DEPENDENCIES, Package, missing, pip_arguments

PYPROJECT = Path(dependencies.__file__).parents[2] / "pyproject.toml"


OF_SLICER = {"qt", "ctk", "SampleData", "PyTorchUtils", "SlicerNNUNetLib"}
"""Modules of 3D Slicer and of its extensions, which no package on PyPI has."""


def declared() -> dict[str, str]:
    """The packages that pyproject.toml asks for, OpenVINO among them, which may be left out, and their versions."""
    text = PYPROJECT.read_text()
    section = text.partition("\ndependencies = [")[2].partition("\n]")[0]
    found = re.findall(r'^  "([A-Za-z0-9-]+)(.*)",$', section, re.MULTILINE)
    found += re.findall(r'^openvino = \["([A-Za-z0-9-]+)(.*)"\]$', text, re.MULTILINE)
    return {name.lower(): window for name, window in found}


def declared_for_extras() -> set[str]:
    """The packages of the extras that only the command line needs."""
    text = PYPROJECT.read_text()
    lists = re.findall(r"^(?:cluster|server|storage) = \[(.*)\]$", text, re.MULTILINE)
    return {name.lower() for names in lists for name in re.findall(r'"([A-Za-z0-9-]+)', names)}


def imported_modules() -> Iterator[tuple[str, Path]]:
    """The outermost names of what the extension imports, wherever an import stands."""
    for path in PYPROJECT.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module]
            yield from ((name.partition(".")[0], path) for name in names)


def test_every_package_that_is_imported_is_declared():
    distributions, known = packages_distributions(), set(declared()) | declared_for_extras()
    ours = {"CRLMSegmentationLib", *sys.stdlib_module_names, *OF_SLICER}
    undeclared = {
        f"{module} in {path.name}"
        for module, path in imported_modules()
        if module not in ours
        and not {name.lower().replace("_", "-") for name in distributions.get(module, (module,))} & known
    }
    assert undeclared == set()


def test_windows_are_those_of_pyproject():
    windows = declared()
    ours = [p for p in PACKAGES if p.name not in requires("pyigtl")]
    assert {p.name.lower(): p.window for p in ours} == {p.name.lower(): windows[p.name.lower()] for p in ours}


def test_what_pyigtl_needs_is_installed_with_it():
    needed = {name for name in requires("pyigtl") if name != "numpy"}  # Slicer has numpy
    assert needed <= {package.name for package in PACKAGES}


def test_what_is_installed_is_not_missing():
    assert missing() == []
    assert all(package.installed_version for package in PACKAGES)


def test_what_is_not_installed_is_missing(monkeypatch):
    lacking = Package("no-such-package", "no_such_package", ">=1", "connect")
    monkeypatch.setattr(dependencies, "PACKAGES", (*PACKAGES, lacking))
    assert missing() == [lacking]
    assert missing("connect") == [lacking]
    assert missing("segment") == []


@pytest.mark.parametrize("package", dependencies.SMALL_PACKAGES, ids=lambda p: p.name)
def test_pip_may_not_replace_what_slicer_brings(package):
    alone = "--no-deps" in pip_arguments(package)
    assert alone == (package.name in WITHOUT_DEPENDENCIES)
    assert not {"torch", "SimpleITK", "requests", "numpy"} & {package.name}
