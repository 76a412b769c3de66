"""What is installed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated

import typer

from .. import __version__
from .app import ModelOption


def info(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON: versions, devices, model, model_error.")] = False,
    model: ModelOption = None,
) -> None:
    """Versions, devices, the model and its hash."""
    from ..environment import describe

    found = describe(model)
    typer.echo(json.dumps(found, indent=1) if as_json else "\n".join(_lines_of(found)))


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
