"""CMake configures, builds and installs the extension against a stand-in for Slicer's package (`slicer_stub`).

The stand-in is not Slicer: what passes here can still fail in the real application.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.paths import ROOT

STUB = Path(__file__).resolve().parent / "slicer_stub"
MODULES_DIR = Path("lib", "Slicer-5.8", "qt-scripted-modules")
SHIPPED = ("Models", "SampleCases")
TOY = """
cmake_minimum_required(VERSION 3.16)
project(Toy)
find_package(Slicer REQUIRED)
include(${Slicer_USE_FILE})
"""


@dataclass(frozen=True)
class Extension:
    """Where CMake has put the extension.

    Attributes:
        build: the build tree.
        built_modules: what a Slicer started from the build tree would load.
        installed_modules: what the Extensions Manager would unpack.
    """

    build: Path
    built_modules: Path
    installed_modules: Path


def program(name: str) -> str:
    """`cmake` or `ctest`, from this virtual environment or from the machine."""
    path = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is missing: install it with `pip install cmake` or `apt install cmake`")
    return path


def run(*command: str | Path) -> str:
    """What a program printed.

    Raises:
        RuntimeError: it failed; the message is what it printed, on one line, as CMake wraps its own.
    """
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=280)
    if result.returncode != 0:
        raise RuntimeError(" ".join((result.stdout + result.stderr).split()))
    return result.stdout


def configure(source: Path, build: Path) -> str:
    """Configure a CMake project against the stand-in, without a compiler."""
    settings = [f"-DSlicer_DIR={STUB}", f"-DCMAKE_TOOLCHAIN_FILE={STUB / 'nothing_is_compiled.cmake'}"]
    return run(program("cmake"), "-S", source, "-B", build, *settings)


@pytest.fixture(scope="module")
def extension(tmp_path_factory: pytest.TempPathFactory) -> Extension:
    """The extension, configured, built and installed once for all tests."""
    folder = tmp_path_factory.mktemp("extension")
    build, prefix = folder / "build", folder / "installed"
    configure(ROOT, build)
    run(program("cmake"), "--build", build)
    run(program("cmake"), "--install", build, "--prefix", prefix)
    return Extension(build, build / MODULES_DIR, prefix / MODULES_DIR)


def files_below(folder: Path) -> dict[str, int]:
    """Name, relative to the folder, and size in bytes of each file."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def expected_files() -> dict[str, int]:
    """What an installation should hold: the module without what only CMake and pip read, and the shipped data."""
    module = ROOT / "CRLMSegmentation"
    wanted = {"CRLMSegmentation.py": (module / "CRLMSegmentation.py").stat().st_size}
    for folder in ("CRLMSegmentationLib", "Resources"):
        wanted |= {f"{folder}/{name}": size for name, size in files_below(module / folder).items()}
    for folder in SHIPPED:
        below = files_below(ROOT / "Resources" / folder)
        wanted |= {f"Resources/{folder}/{name}": size for name, size in below.items()}
    return wanted


def test_installed_tree_holds_the_module_its_model_and_its_cases_and_nothing_else(extension: Extension):
    assert files_below(extension.installed_modules) == expected_files()


def test_build_tree_can_be_run_as_it_is(extension: Extension):
    assert files_below(extension.built_modules) == expected_files()


@pytest.mark.parametrize("tree", ["built_modules", "installed_modules"])
@pytest.mark.parametrize("folder", SHIPPED)
def test_library_finds_shipped_files_beside_the_module(extension: Extension, tree: str, folder: str):
    modules = getattr(extension, tree)
    code = (
        f"import sys; sys.path.insert(0, {str(modules)!r})\n"
        "from CRLMSegmentationLib.core.resources import resource_path\n"
        f"print(resource_path({folder!r}))\n"
    )
    # neither this folder nor what is installed in the virtual environment is seen
    found = run(sys.executable, "-I", "-S", "-B", "-c", code)
    assert Path(found.strip()) == (modules / "Resources" / folder).resolve()


def test_ctest_knows_the_tests_that_need_slicer(extension: Extension):
    listed = run(program("ctest"), "--test-dir", extension.build, "--show-only")
    names = {line.split()[-1] for line in listed.splitlines() if "Test #" in line.replace("  ", " ")}
    assert names == {
        "py_CRLMSegmentation",
        "py_nomainwindow_qSlicerCRLMSegmentationModuleGenericTest",
        "py_nomainwindow_test_module_in_slicer",
        "py_test_module_in_slicer",
    }


@pytest.mark.parametrize(
    ("mistake", "complaint"),
    [
        ("slicerMacroBuildScriptedModule(NAME Toy SCRIPTS Toy.py gone.py)", "nonexistent file 'gone.py'"),
        ("slicerMacroBuildScriptedModule(NAME Toy SCRIPTS Toy.py RESOURCES ../x.png)", "not install '../x.png'"),
        ("slicerMacroBuildScriptedModule(NAME Toy WITH_TESTS SCRIPTS Toy.py)", "arguments: WITH_TESTS"),
        ("slicer_add_python_unittest(SCRIPT gone.py)", "nonexistent script 'gone.py'"),
        ("slicer_add_python_unittest(FILE Toy.py)", "arguments: FILE;Toy.py"),
        ('set(EXTENSION_HOMEPAGE "")\ninclude(${Slicer_EXTENSION_CPACK})', "EXTENSION_HOMEPAGE is empty"),
    ],
)
def test_stand_in_refuses(tmp_path: Path, mistake: str, complaint: str):
    (tmp_path / "Toy.py").touch()
    (tmp_path / "CMakeLists.txt").write_text(TOY + mistake)
    with pytest.raises(RuntimeError) as caught:
        configure(tmp_path, tmp_path / "build")
    assert complaint in str(caught.value)
