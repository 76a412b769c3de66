"""A Slicer that lacks what this project installs must still open the panel: its button Install is there."""

from __future__ import annotations

import subprocess
import sys

from CRLMSegmentationLib.slicer.dependencies import PACKAGES

BLOCKED = f"""
import importlib.abc, sys, types
sys.modules["qt"] = types.ModuleType("qt")  # comes with Slicer
class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {sorted(package.module for package in PACKAGES)}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
"""


MODULES = (
    "widgets.library",
    "panel.texts",
    *(f"workspace.{name}" for name in ("workspace", "volume_source", "preflight", "workspace_recorder")),
)


def test_panel_can_be_opened_without_any_package_that_it_installs():
    """Each of the modules that the panel begins with, in one process; what cannot be imported is named."""
    code = "\n".join((BLOCKED, *(f"import CRLMSegmentationLib.slicer.{module}" for module in MODULES)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
