"""The command `model`: show, verify, import and remove models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from ..core.errors import ModelError
from .console import print_data, print_text, steps
from .model_options import (
    CardOption,
    CheckpointOption,
    CropOption,
    FoldOption,
    NameOption,
    OnePassOption,
    PointsOption,
    RegionOption,
    SeedOption,
    UseOption,
    VersionOption,
    about_of,
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name, or name@version.")]


model = typer.Typer(help="Show, verify, import and remove models.", no_args_is_help=True, rich_markup_mode=None)


@model.command("list")
def list_models() -> None:
    """List the installed models, the default marked with a star."""
    from ..segmentation.models.listing import list_lines
    from ..segmentation.models.registry import installed_models

    for line in list_lines(installed_models()):
        print_text(line)


@model.command("info")
def model_info(
    name: Annotated[
        Optional[str], typer.Argument(metavar="[NAME]", help="Name or folder; default: the default model.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the metadata of a model."""
    from ..segmentation.models.listing import info_of
    from ..segmentation.models.registry import find_model
    from .describe import lines_of

    found = info_of(find_model(name))
    print_data(found, lines_of(found), as_json)


@model.command()
def verify(
    name: Annotated[
        Optional[str], typer.Argument(metavar="[NAME]", help="Name, or name@version; default: all.")
    ] = None,
) -> None:
    """Check every file of a model against its hash."""
    from ..segmentation.models.registry import verify_models

    checked = verify_models(name)
    for found in checked:
        print_text(f"{found.key}: {found.problem or 'unchanged'}")
    damaged = [found.key for found in checked if found.problem]
    if damaged:
        raise ModelError(f"{', '.join(damaged)} changed since the import; import again, or remove")


@model.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Model package, or export of nnU-Net v2; a folder or a zip file.")],
    which: Annotated[Optional[str], typer.Option(help="Which model, if the file contains several.")] = None,
    name: NameOption = None,
    version: VersionOption = None,
    region: RegionOption = None,
    crop_size: CropOption = None,
    with_seed: SeedOption = False,
    with_points: PointsOption = False,
    one_pass: OnePassOption = False,
    intended_use: UseOption = None,
    card: CardOption = None,
    fold: FoldOption = None,
    checkpoint: CheckpointOption = "final",
) -> None:
    """Install a model.

    Files that could run code are refused.
    """
    from ..segmentation.models.importer import import_model

    about = about_of(name, version, crop_size, with_seed, with_points, intended_use, card, region, one_pass)
    with steps() as on_step:
        on_step("Reading the model, and trying the network once")
        package = import_model(file, about, which, fold, checkpoint)
    print_text(f"{package.name}@{package.version}: installed in {package.folder}")


@model.command()
def export(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="Zip file to write, for `model import` on another machine.")],
) -> None:
    """Write an installed model into one zip file."""
    from ..core.output_files import atomic_files, check_output_paths
    from ..segmentation.models.archive import zip_model_package
    from ..segmentation.models.registry import find_model

    package = find_model(name)
    check_output_paths([out])
    with atomic_files([out]) as (unfinished,):
        zip_model_package(package, unfinished)
    print_text(f"{package.name}@{package.version}: {out}")


@model.command()
def remove(name: NameArgument) -> None:
    """Delete an imported model."""
    from ..segmentation.models.registry import remove_model

    print_text(f"{remove_model(name).key}: removed")


@model.command()
def default(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Name; default: the shipped model.")] = None,
) -> None:
    """Choose the model that is used if none is named."""
    from ..segmentation.models.registry import set_default

    package = set_default(name)
    print_text(f"{package.name}@{package.version} is used where no model is named")
