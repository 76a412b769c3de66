import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from CRLMSegmentationLib.slicer import dependencies
from CRLMSegmentationLib.slicer.dependencies import PACKAGES, WITHOUT_DEPENDENCIES, Package, missing, pip_arguments

PYPROJECT = Path(dependencies.__file__).parents[2] / "pyproject.toml"


def test_windows_are_those_of_pyproject():
    wanted = re.findall(r'^  "([A-Za-z0-9-]+)(.*)",$', PYPROJECT.read_text(), re.MULTILINE)
    windows = {name.lower(): window for name, window in wanted}
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
