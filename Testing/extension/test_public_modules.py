"""Each room of the library imports from the others only what they export: the modules and names in `__all__`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.paths import LIBRARY

EXCEPTIONS: dict[tuple[str, str], str] = {}
"""(importing module, imported module or name) to the reason; both as paths in the library, such as `cli.demo_run`."""


class Import(NamedTuple):
    """An import across rooms: the importing module, and the path of what it imports, from the room on."""

    module: str
    imported: tuple[str, ...]


def test_rooms_import_only_what_other_rooms_export():
    imports = imports_across_rooms(LIBRARY)
    assert len(imports) > 100
    past = [i for i in imports if not is_exported(LIBRARY, i.imported) and _key(i) not in EXCEPTIONS]
    assert not past, "export these, or import what is exported:\n" + "\n".join(" imports ".join(_key(i)) for i in past)


def test_every_exception_is_needed_and_has_a_reason():
    needed = {_key(i) for i in imports_across_rooms(LIBRARY) if not is_exported(LIBRARY, i.imported)}
    assert set(EXCEPTIONS) <= needed
    assert all(EXCEPTIONS.values())


@pytest.mark.parametrize(
    "package", [path.parent.relative_to(LIBRARY) for path in sorted(LIBRARY.rglob("__init__.py"))], ids=str
)
def test_what_a_package_exports_is_there(package):
    folder = LIBRARY / package
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert set(exported(folder) or ()) <= modules | _names_in(folder / "__init__.py")


@pytest.mark.parametrize(
    ("statement", "refused"),
    [
        ("from ..core.public import value", None),
        ("from ..core.private import value", "core.private"),
        ("from ..core import private", "core.private"),
        ("from ..core import value", None),
        ("from ..core import hidden", "core.hidden"),
        ("from ..core.package.inner import value", None),
        ("from ..core.package.secret import value", "core.package.secret"),
        ("import CRLMSegmentationLib.core.private", "core.private"),
        ("def run():\n    from ..core.private import value", "core.private"),
        ("from ..open.anything import value", None),
        ("from .private import value", None),
    ],
)
def test_import_of_what_is_not_exported_is_found(tmp_path, statement, refused):
    library = tmp_path / "CRLMSegmentationLib"
    files = {
        "__init__.py": "",
        "core/__init__.py": "from .public import value\n__all__ = ['package', 'public', 'value']",
        "core/public.py": "value = 1",
        "core/private.py": "value = 1",
        "core/package/__init__.py": "__all__ = ['inner']",
        "core/package/inner.py": "value = 1",
        "core/package/secret.py": "value = 1",
        "open/__init__.py": "",
        "open/anything.py": "value = 1",
        "user/__init__.py": "",
        "user/private.py": "value = 1",
        "user/module.py": statement,
    }
    for name, content in files.items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(content)
    past = [".".join(i.imported) for i in imports_across_rooms(library) if not is_exported(library, i.imported)]
    assert past == ([] if refused is None else [refused])


def imports_across_rooms(library: Path) -> list[Import]:
    """Return every import of a room's module from another room, also those inside functions."""
    return [found for path in sorted(library.rglob("*.py")) for found in _imports_of(library, path)]


def is_exported(library: Path, imported: tuple[str, ...]) -> bool:
    """Return whether each package on the way lists the next part of the path, or lists nothing at all."""
    folder = library
    for place, part in enumerate(imported):
        names = exported(folder) if place else None
        if names is not None and part not in names:
            return False
        folder = folder / part
    return True


@cache
def exported(folder: Path) -> tuple[str, ...] | None:
    """Return the `__all__` of a package, None of one without and of a module."""
    path = folder / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body if path.is_file() else ():
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["__all__"]:
            return tuple(ast.literal_eval(node.value))
    return None


def _imports_of(library: Path, path: Path) -> Iterator[Import]:
    parts = path.relative_to(library).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for target in _targets(library, node, parts[:-1]):
            if target and len(parts) > 1 and target[0] != parts[0]:
                yield Import(".".join(parts), target)


def _targets(library: Path, node: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the paths in the library of what a statement imports: a module, or a name that a package gives."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first, *others = alias.name.split(".")
            if first == library.name:
                yield tuple(others)
    elif isinstance(node, ast.ImportFrom):
        named = tuple((node.module or "").split(".")) if node.module else ()
        if node.level:
            base = (*package[: len(package) - node.level + 1], *named)
        elif named[0] == library.name:
            base = named[1:]
        else:
            return
        for alias in node.names:
            yield (*base, alias.name) if library.joinpath(*base).is_dir() else base


def _names_in(path: Path) -> set[str]:
    """Return the names that a file binds by imports, definitions and assignments."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _key(found: Import) -> tuple[str, str]:
    return found.module, ".".join(found.imported)
