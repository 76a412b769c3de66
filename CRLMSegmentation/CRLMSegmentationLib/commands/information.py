"""What is installed, and what a file holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

from .. import __version__
from .app import ModelOption
from .showing import tell_data


def info(
    source: Annotated[
        Optional[Path],
        typer.Argument(metavar="[FILE]", help="Case folder, tracked sweep or volume; none: what is installed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    model: ModelOption = None,
) -> None:
    """Tell what a case, a sweep or a volume holds; without one: versions, devices, the model and its hash."""
    if source is not None:
        from ..describing import describe_source, lines_of

        described = describe_source(source)
        tell_data(described, lines_of(described), as_json)
        return
    from ..environment import describe

    found = describe(model)
    tell_data(found, _lines_of(found), as_json)


def _lines_of(found: dict) -> Iterator[str]:
    yield f"crlm-seg {__version__}"
    yield "Device:   " + ", ".join(found["devices"])
    if found["model"]:
        yield "Model:    {name} {version}, SHA-256 {sha256}".format(**found["model"])
        if found["model"]["simulated_only"]:
            yield "          trained on simulated data only; not for clinical use"
    else:
        yield f"Model:    none: {found['model_error']}"
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in found["versions"].items())
