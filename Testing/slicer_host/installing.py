"""Putting the stand-ins into sys.modules and the package slicer, and taking them out again."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable

import slicer

from .allowed import namespace
from .errors import HostGapError
from .modules import ScriptedModule, ScriptedModuleWidget
from .qt_module import STAND_INS
from .wrappers import wrapper_class

_MISSING = object()
_CLASSES = {cls.slicer_class: cls for cls in (ScriptedModule, ScriptedModuleWidget)}


class Patches:
    """Changes that can be undone, last one first."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    def set(self, owner: object, name: str, value: object) -> None:
        before = vars(owner).get(name, _MISSING)
        setattr(owner, name, value)
        restore = (lambda: delattr(owner, name)) if before is _MISSING else (lambda: setattr(owner, name, before))
        self._undo.append(lambda: restore() if name in vars(owner) or before is not _MISSING else None)

    def remove(self, owner: object, name: str) -> None:
        before = vars(owner)[name]
        delattr(owner, name)
        self._undo.append(lambda: setattr(owner, name, before))

    def later(self, undo: Callable[[], None]) -> None:
        """Something else to be undone."""
        self._undo.append(undo)

    def undo(self) -> None:
        while self._undo:
            self._undo.pop()()


def patch_slicer(patches: Patches, attributes: dict[str, object]) -> None:
    """Give the package slicer what only the application has, and take from it what the application does not have."""
    leaked = [n for n in vars(slicer.util) if n in vars(slicer) and not n.startswith(("_", "vtk", "util"))]
    for name in leaked:
        if name not in namespace("slicer") and name not in ("sys", "slicer"):
            patches.remove(slicer, name)
    for name, value in attributes.items():
        patches.set(slicer, name, value)
    patches.set(slicer, "__getattr__", _missing_from_slicer)


def patch_util(patches: Patches, overrides: dict[str, object]) -> None:
    """Leave in slicer.util only what 5.8 has; the functions are Slicer's own, the overrides are not."""
    for name in list(vars(slicer.util)):
        value = vars(slicer.util)[name]
        is_public = not name.startswith("_") and not isinstance(value, types.ModuleType)
        if is_public and name not in namespace("slicer.util") and name not in ("annotations", "TYPE_CHECKING"):
            patches.remove(slicer.util, name)
    for name, value in overrides.items():
        patches.set(slicer.util, name, value)


def add_submodules(patches: Patches) -> None:
    """slicer.i18n, slicer.ScriptedLoadableModule and slicer.parameterNodeWrapper; qt and ctk must be there already."""
    from . import i18n, parameter_node_wrapper, scripted_loadable_module

    found = {"i18n": i18n.make_module(), "ScriptedLoadableModule": scripted_loadable_module}
    found["parameterNodeWrapper"] = parameter_node_wrapper.make_module()
    for name, module in found.items():
        sys.modules[f"slicer.{name}"] = module
        patches.set(slicer, name, module)
    patches.set(slicer, "selfTests", {})


def restore_modules(before: dict[str, types.ModuleType]) -> None:
    """Bring sys.modules back, with all that belongs to a package that was replaced meanwhile."""
    changed = {name for name, module in before.items() if sys.modules.get(name) is not module}
    packages = {name.partition(".")[0] for name in changed}
    for name in [n for n in sys.modules if n not in before and n.partition(".")[0] in packages]:
        del sys.modules[name]
    sys.modules.update({name: before[name] for name in changed})


def _missing_from_slicer(name: str) -> object:
    cls = STAND_INS.get(name) or _CLASSES.get(name)
    if cls is not None and not name.startswith("ctk"):
        return wrapper_class(cls)
    if name in namespace("slicer"):
        raise HostGapError(f"slicer.{name} exists in Slicer, and not in this host")
    raise AttributeError(f"module 'slicer' has no attribute '{name}'")
