"""Import of a library that imports a slow module only to ask whether an object is of a class of it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_deferring(name: str, slow: str, class_name: str) -> None:
    """Import a module without the slow one that it imports, which is loaded when somebody else imports it.

    What is imported here gets another class in place of the slow module's. It answers `isinstance` as the real one
    does: no object can be of the real class before the slow module has been loaded.

    Args:
        name: of the module to import.
        slow: name of the slow module; where it is loaded already, nothing is deferred.
        class_name: of the class in it. Where more of the module is asked for than that, it is imported after all.
    """
    if slow in sys.modules:
        importlib.import_module(name)
        return
    try:
        with _placeholder(slow, class_name):
            importlib.import_module(name)
    except (ImportError, AttributeError):
        importlib.import_module(name)


@contextmanager
def _placeholder(slow: str, class_name: str) -> Iterator[None]:
    """Stand in for a module during this context."""

    class AnswersForReal(type):
        def __instancecheck__(cls, instance: object) -> bool:
            real = getattr(sys.modules.get(slow), class_name, None)
            return real is not None and real is not cls and isinstance(instance, real)

    placeholder = ModuleType(slow)
    setattr(placeholder, class_name, AnswersForReal(class_name, (), {}))
    sys.modules[slow] = placeholder
    try:
        yield
    finally:
        if sys.modules.get(slow) is placeholder:
            del sys.modules[slow]
