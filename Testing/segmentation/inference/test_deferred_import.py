"""A slow module is not loaded for one of its classes; and the worker's network starts without torch's compiler."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from CRLMSegmentationLib.segmentation.inference.deferred_import import import_deferring

SLOW = "slow_of_deferred_import"
USER = "user_of_deferred_import"


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the slow module and the one that imports it, where they can be imported."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / f"{SLOW}.py").write_text("class Compiled:\n    pass\nOTHER = 1\n")

    def write(imports: str) -> None:
        (tmp_path / f"{USER}.py").write_text(
            f"{imports}\n\ndef is_compiled(thing):\n    return isinstance(thing, Compiled)\n"
        )

    yield write
    for name in (SLOW, USER):
        sys.modules.pop(name, None)


def test_slow_module_is_loaded_by_who_uses_it_and_its_objects_are_recognised(modules):
    modules(f"from {SLOW} import Compiled")
    import_deferring(USER, SLOW, "Compiled")
    assert SLOW not in sys.modules
    user = sys.modules[USER]
    assert not user.is_compiled(1)
    slow = __import__(SLOW)
    assert slow.OTHER == 1
    assert user.is_compiled(slow.Compiled())
    assert not user.is_compiled(1)


@pytest.mark.parametrize(
    "imports",
    [
        f"from {SLOW} import Compiled, OTHER",
        f"import {SLOW}\nfrom {SLOW} import Compiled\n{SLOW}.OTHER",
    ],
)
def test_slow_module_is_loaded_where_more_of_it_is_wanted(modules, imports):
    modules(imports)
    import_deferring(USER, SLOW, "Compiled")
    assert sys.modules[USER].Compiled is sys.modules[SLOW].Compiled


def test_module_that_is_loaded_already_is_left_alone(modules):
    modules(f"from {SLOW} import Compiled")
    slow = __import__(SLOW)
    import_deferring(USER, SLOW, "Compiled")
    assert sys.modules[SLOW] is slow
    assert sys.modules[USER].Compiled is slow.Compiled


def test_module_that_is_not_there_is_told_as_by_any_import(modules):
    modules("import no_such_module_at_all")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        import_deferring(USER, SLOW, "Compiled")
    assert SLOW not in sys.modules


def test_network_is_imported_without_the_compiler_of_torch():
    code = """
        import sys
        import CRLMSegmentationLib.segmentation.inference.nnunet
        sys.exit("torch._dynamo" in sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=240)
    assert done.returncode == 0
