"""The modules of `core` that other rooms import."""

import importlib
import re
from pathlib import Path

import CRLMSegmentationLib
from CRLMSegmentationLib import core

LIBRARY = Path(CRLMSegmentationLib.__file__).parent
IMPORT = re.compile(r"^\s*from (?:\.+|CRLMSegmentationLib\.)core(?:\.(\w+)[\w.]*)? import (.+)$", re.MULTILINE)


def modules_imported_by_other_rooms() -> set[str]:
    files = [path for path in LIBRARY.rglob("*.py") if LIBRARY / "core" not in path.parents]
    found = [match for path in files for match in IMPORT.findall(path.read_text("utf-8"))]
    return {module or names.split()[0] for module, names in found}


def test_other_rooms_import_public_modules_only():
    used = modules_imported_by_other_rooms()
    assert {"box", "errors", "volume"} <= used
    assert used <= set(core.__all__)


def test_public_modules_exist():
    assert all(importlib.import_module(f"CRLMSegmentationLib.core.{name}").__doc__ for name in core.__all__)
