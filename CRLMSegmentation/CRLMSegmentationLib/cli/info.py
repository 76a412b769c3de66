"""The command `info`: describe a file, or list what is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Optional, TypedDict

import typer

from .. import __version__
from .console import print_data
from .options import ModelOption

MODEL_KEYS = ("name", "version", "sha256", "simulated_only")


class Installation(TypedDict):
    """Versions, devices and model of this installation.

    Attributes:
        versions: of this program, Python and the packages that matter to a result; "missing" if so.
        devices: names, GPUs first.
        runtime: that runs the model here, as measured at its first start: {runtime, device, precision, pass_s,
            difference}, or None before that.
        model: {name, version, sha256, simulated_only} of the verified model package, or None.
        model_error: why there is no model, or None.
    """

    versions: dict[str, str]
    devices: list[str]
    runtime: dict[str, Any] | None
    model: dict[str, Any] | None
    model_error: str | None


def info(
    source: Annotated[
        Optional[Path],
        typer.Argument(metavar="[FILE]", help="Case folder, tracked sweep or volume; default: what is installed."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    model: ModelOption = None,
) -> None:
    """Describe a case, a sweep or a volume, or the installation.

    Without a file it lists versions, devices, and the model with its hash.
    """
    if source is not None:
        from .describe import describe_source, lines_of

        described = describe_source(source)
        print_data(described, lines_of(described), as_json)
        return
    found = describe_installation(model)
    print_data(found, _lines_of(found), as_json)


def describe_installation(model_folder: Path | None = None) -> Installation:
    """Return the content of `crlm-seg info --json`."""
    from ..core.environment import devices, versions
    from ..core.errors import CrlmError
    from ..segmentation.inference.inference_cache import measured_choice
    from ..segmentation.models.package import model_or_default

    found: Installation = {
        "versions": versions(),
        "devices": devices(),
        "runtime": None,
        "model": None,
        "model_error": None,
    }
    try:
        package = model_or_default(model_folder)
        found["model"] = {key: getattr(package, key) for key in MODEL_KEYS}
        found["runtime"] = measured_choice(package)
    except CrlmError as error:
        found["model_error"] = str(error)
    return found


def _lines_of(found: Installation) -> Iterator[str]:
    yield f"crlm-seg {__version__}"
    yield "Device:   " + ", ".join(found["devices"])
    if found["runtime"]:
        yield "Runtime:  {runtime} {precision} on the {device}, {pass_s:.3f} s for a pass".format(**found["runtime"])
    else:
        yield "Runtime:  the fastest, found by measurement when the model is first started"
    if found["model"]:
        yield "Model:    {name} {version}, SHA-256 {sha256}".format(**found["model"])
        if found["model"]["simulated_only"]:
            yield "          trained on simulated data only; not for clinical use"
    else:
        yield f"Model:    none: {found['model_error']}"
    yield "Versions: " + ", ".join(f"{name} {version}" for name, version in found["versions"].items())
