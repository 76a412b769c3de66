"""What can be read off the module's file and resources, and what it registers at start."""

from __future__ import annotations

import ast
import hashlib
import sys
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest
from helpers.paths import LIBRARY, MODULE

SLICERS_OWN = {"slicer", "qt", "ctk", "vtk", "numpy"}
WIDGETS = LIBRARY / "slicer" / "widgets"
SHOWING = {"setText", "addItem", "setToolTip", "setFormat", "confirmYesNoDisplay", "showStatusMessage", "show"}
"""Functions whose first argument a user reads."""


@pytest.fixture(scope="module")
def tree() -> ast.Module:
    return ast.parse(MODULE.read_text(encoding="utf-8"))


def imported(node):
    if isinstance(node, ast.ImportFrom):
        return {node.module.partition(".")[0]}
    return {alias.name.partition(".")[0] for alias in node.names} if isinstance(node, ast.Import) else set()


def test_nothing_but_slicers_own_is_imported_at_file_scope(tree):
    names = {name for node in tree.body for name in imported(node)}
    assert "slicer" in names
    assert names - SLICERS_OWN - sys.stdlib_module_names == set()


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def untranslated(node: ast.AST):
    """Words in an expression that no _() is around; a sign or a blank alone needs none."""
    if isinstance(node, ast.Call) and name_of(node) in ("_", "translate"):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and any(c.isalpha() for c in node.value):
        yield node.lineno, node.value
    children = node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node)
    if isinstance(node, ast.Call):
        children = [*node.args, *([node.func.value] if isinstance(node.func, ast.Attribute) else [])]
    for child in children:
        yield from untranslated(child)


def shown(tree):
    """What is given to the functions that show something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node) in SHOWING and node.args:
            yield node.args[0]


def test_every_text_for_people_can_be_translated(tree):
    widgets = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(WIDGETS.glob("*.py"))]
    arguments = [argument for each in (tree, *widgets) for argument in shown(each)]
    assert len(arguments) > 15
    assert [found for argument in arguments for found in untranslated(argument)] == []


@pytest.mark.parametrize("line", ["b.setText('Go')", "b.setText(f'in {x}')", "b.setText('a' if c else _('b'))"])
def test_text_that_cannot_be_translated_is_found(line):
    assert [found for argument in shown(ast.parse(line)) for found in untranslated(argument)]


def test_errors_of_the_workspace_can_be_translated():
    raised = [
        (path.name, node.exc)
        for path in sorted((LIBRARY / "slicer" / "workspace").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
    ]
    assert len(raised) > 10
    assert [(name, text) for name, error in raised for _line, text in untranslated(error) if " " in text] == []


def test_module_says_what_it_is(panel):
    import slicer

    module = slicer.modules.crlmsegmentation
    assert module.title == "CRLM Segmentation"
    assert list(module.categories) == ["IGT"]
    assert "not a medical device" in module.helpText
    assert module.contributors
    assert "nnU-Net" in module.acknowledgementText


def test_shipped_cases_are_sample_data(panel):
    sources = panel.host.modules.sampleDataSources["CRLMSegmentation"]
    assert len(sources) == 3
    assert len({source.sampleName for source in sources}) == 3
    for source in sources:
        file = Path(url2pathname(urlparse(source.uris).path))
        assert source.checksums == f"SHA256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
        assert source.fileNames.endswith(".nrrd")
        assert Path(source.thumbnailFileName).read_bytes().startswith(b"\x89PNG")
