"""The files by which 3D Slicer and its Extensions Index know the extension: complete, and of one mind."""

from __future__ import annotations

import ast
import json
import re
import struct
from pathlib import Path

import pytest
from helpers.paths import ROOT

MODULE = ROOT / "CRLMSegmentation"
NAME = "CRLMSegmentation"
JSON_KEYS = {
    "$schema",
    "category",
    "scm_url",
    "scm_revision",
    "build_dependencies",
    "build_subdirectory",
    "tier",
}
SAME_IN_S4EXT = (
    "homepage",
    "contributors",
    "category",
    "iconurl",
    "status",
    "description",
    "screenshoturls",
    "depends",
)


def extension_value(name: str) -> str:
    """`set(EXTENSION_NAME "value")` as the Extensions Index reads it: one quoted literal on one line."""
    found = re.findall(rf'^set\(EXTENSION_{name} "([^"\n]+)"\)$', (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE)
    assert len(found) == 1, f'CMakeLists.txt needs exactly one line: set(EXTENSION_{name} "...")'
    return found[0]


def s4ext() -> dict[str, str]:
    """CRLMSegmentation.s4ext: the first word of a line is the key, the rest of it the value."""
    lines = (ROOT / f"{NAME}.s4ext").read_text().splitlines()
    pairs = (line.partition(" ") for line in lines if line.strip() and not line.startswith("#"))
    return {key: value.strip() for key, _, value in pairs}


def catalog_entry() -> dict:
    """CRLMSegmentation.json."""
    return json.loads((ROOT / f"{NAME}.json").read_text())


def image_urls() -> list[str]:
    """The icon's address and those of the screenshots."""
    return [extension_value("ICONURL"), *extension_value("SCREENSHOTURLS").split()]


def png_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the header of a PNG file."""
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", f"{path} is not a PNG"
    return struct.unpack(">II", head[16:24])


def test_project_is_named_like_the_description_files():
    assert re.findall(r"^project\((\S+)\)$", (ROOT / "CMakeLists.txt").read_text(), re.MULTILINE) == [NAME]
    assert (ROOT / f"{NAME}.s4ext").is_file()
    assert (ROOT / f"{NAME}.json").is_file()


@pytest.mark.parametrize("key", SAME_IN_S4EXT)
def test_s4ext_says_what_cmake_says(key):
    assert s4ext()[key] == extension_value(key.upper())


def test_json_says_what_s4ext_says():
    entry, old = catalog_entry(), s4ext()
    assert entry["category"] == old["category"]
    assert entry["scm_url"] == old["scmurl"]
    assert entry["scm_revision"] == old["scmrevision"]
    assert entry["build_dependencies"] == old["depends"].split()
    assert entry["build_subdirectory"] == old["build_subdirectory"]
    assert (old["scm"], old["enabled"]) == ("git", "1")


def test_json_has_no_key_that_the_extensions_index_refuses():
    entry = catalog_entry()
    assert set(entry) <= JSON_KEYS
    assert re.fullmatch(r"https://\S+/slicer-extension-catalog-entry-schema-v1\.0\.\d\.json#", entry["$schema"])
    assert entry["tier"] in (1, 3, 5)


def test_addresses_are_those_of_one_repository():
    address = catalog_entry()["scm_url"]
    assert address.startswith("https://github.com/")
    assert extension_value("HOMEPAGE") == address


def test_image_addresses_name_png_files_of_this_repository():
    entry = catalog_entry()
    raw = entry["scm_url"].replace("https://github.com/", "https://raw.githubusercontent.com/")
    start = f"{raw}/{entry['scm_revision']}/"
    for url in image_urls():
        assert url.startswith(start), f"{url} does not begin with {start}"
        assert url.endswith(".png"), f"{url} is not the address of a PNG"
        png_size(ROOT / url[len(start) :])


def test_icon_has_the_size_that_slicer_wants():
    assert png_size(MODULE / "Resources" / "Icons" / f"{NAME}.png") == (128, 128)


def test_description_is_short_enough_to_be_read():
    description = extension_value("DESCRIPTION")
    assert len(description) < 300
    assert "not for clinical use" in description


def computed_unions(path: Path) -> list[int]:
    """Lines at which `A | B` of types is computed while a module is imported, which Python 3.9 cannot."""
    assigned = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    unions = [part for node in assigned for part in ast.walk(node.value) if isinstance(part, ast.BinOp)]
    types = [part for part in unions if isinstance(part.op, ast.BitOr) and any(map(is_type, (part.left, part.right)))]
    return [part.lineno for part in types]


def is_type(node: ast.expr) -> bool:
    """Whether an expression is a type by its look: `tuple[int, int]`, `Volume`, `None`."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name)
    is_class = isinstance(node, ast.Name) and node.id[0].isupper() and not node.id.isupper()
    return is_class or (isinstance(node, ast.Constant) and node.value is None)


@pytest.mark.parametrize("path", sorted(MODULE.rglob("*.py")), ids=lambda path: path.relative_to(MODULE).as_posix())
def test_types_are_joined_as_the_python_of_slicer_5_8_can(path: Path) -> None:
    assert computed_unions(path) == []


def test_union_that_python_3_9_cannot_compute_is_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("Address = tuple[str, int] | None\nEvent = Volume | Seed\nFLAGS = re.A | re.B\nBOTH = ONE | TWO\n")
    assert computed_unions(path) == [1, 2]
