"""Stand-in for slicer.i18n: looks a text up for the file that it stands in."""

from __future__ import annotations

import inspect
import logging
import re
import types
from pathlib import Path

import slicer

_PLACEHOLDER = re.compile(r"(?<!\{)\{([^{}]+)\}(?!\})")


def getContext(sourceFile: str) -> str:
    """The file's name, behind its package's where it is in one."""
    path = Path(sourceFile)
    return f"{path.parent.name}.{path.stem}" if (path.parent / "__init__.py").is_file() else path.stem


def translate(context: str, text: str) -> str:
    return slicer.app.translate(context, text)


def tr(text: str) -> str:
    """A translation that has lost or gained a placeholder is not used."""
    caller = inspect.currentframe().f_back
    translated = translate(getContext(caller.f_code.co_filename), text)
    if set(_PLACEHOLDER.findall(text)) != set(_PLACEHOLDER.findall(translated)):
        logging.warning("translation of %r to %r is incorrect: placeholders do not match", text, translated)
        return text
    return translated


def make_module() -> types.ModuleType:
    """The module slicer.i18n."""
    module = types.ModuleType("slicer.i18n", __doc__)
    module.getContext, module.translate, module.tr = getContext, translate, tr
    return module
