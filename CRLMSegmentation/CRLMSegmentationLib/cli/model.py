"""Models: packed, imported, managed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from ..core.errors import ModelError
from .console import steps, tell, tell_data

if TYPE_CHECKING:
    from ..segmentation.models.pack import About

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Name, or name@version.")]
NameOption = Annotated[Optional[str], typer.Option("--name", help="Default: that of the dataset.")]
VersionOption = Annotated[Optional[str], typer.Option("--version", help="Of the model; default: 1.")]
CropOption = Annotated[
    Optional[float],
    typer.Option("--crop-size", metavar="MM", help="Width of the cubes it was trained on; default: the median image."),
]
RegionOption = Annotated[
    Optional[str],
    typer.Option("--region", help="What it is shown: crop, or volume if it was trained on whole ones; default: crop."),
]
SeedOption = Annotated[
    bool, typer.Option("--with-seed", help="Its second channel is the seed, as in the shipped model.")
]
UseOption = Annotated[Optional[str], typer.Option("--intended-use", help="What it is made for, in a sentence.")]
CardOption = Annotated[Optional[Path], typer.Option("--card", help="JSON file with figures and facts about it.")]
FoldOption = Annotated[
    Optional[list[str]], typer.Option("--fold", metavar="FOLD", help="One of several; default: all that are there.")
]
CheckpointOption = Annotated[str, typer.Option("--checkpoint", help="Which of nnU-Net's: final or best.")]

model = typer.Typer(help="Show, verify, import and remove models.", no_args_is_help=True, rich_markup_mode=None)


def pack(
    results: Annotated[
        Path, typer.Argument(help="Folder of nnU-Net's results: plans.json, dataset.json, fold_*; or of a dataset.")
    ],
    out: Annotated[Path, typer.Option(help="Folder of the model package to make.")],
    name: NameOption = None,
    version: VersionOption = None,
    region: RegionOption = None,
    crop_size: CropOption = None,
    with_seed: SeedOption = False,
    intended_use: UseOption = None,
    card: CardOption = None,
    fold: FoldOption = None,
    checkpoint: CheckpointOption = "final",
    half: Annotated[bool, typer.Option("--half", help="Store weights in half precision.")] = False,
) -> None:
    """Make a model package of what nnU-Net v2 has trained; nothing in the files can run code."""
    from ..segmentation.models.pack import pack_model

    about = _about(name, version, crop_size, with_seed, intended_use, card, region)
    with steps() as on_step:
        on_step("Reading checkpoints, and trying the network once")
        package = pack_model(results, out, about, fold, checkpoint, half)
    tell(f"{package.name} {package.version}: {out}, SHA-256 {package.sha256}")


@model.command("list")
def list_models() -> None:
    """The installed models, the default marked with a star."""
    from ..segmentation.models.listing import list_lines
    from ..segmentation.models.registry import installed_models

    for line in list_lines(installed_models()):
        tell(line)


@model.command("info")
def model_info(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Name, or a folder; none: default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Everything that is known of a model."""
    from ..segmentation.models.listing import info_of
    from ..segmentation.models.registry import find_model
    from .describe import lines_of

    found = info_of(find_model(name))
    tell_data(found, lines_of(found), as_json)


@model.command()
def verify(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Name, or name@version; none: all.")] = None,
) -> None:
    """Hash every file anew, and compare."""
    from ..segmentation.models.registry import verify_models

    checked = verify_models(name)
    for found in checked:
        tell(f"{found.key}: {found.problem or 'as it was made'}")
    damaged = [found.key for found in checked if found.problem]
    if damaged:
        raise ModelError(f"{', '.join(damaged)} cannot be relied on; import again, or remove")


@model.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Model package, or export of nnU-Net v2; a folder or a zip file.")],
    which: Annotated[Optional[str], typer.Option(help="Which, where the file holds several models.")] = None,
    name: NameOption = None,
    version: VersionOption = None,
    region: RegionOption = None,
    crop_size: CropOption = None,
    with_seed: SeedOption = False,
    intended_use: UseOption = None,
    card: CardOption = None,
    fold: FoldOption = None,
    checkpoint: CheckpointOption = "final",
) -> None:
    """Install a model; what could run code is refused with the reason."""
    from ..segmentation.models.importer import import_model

    about = _about(name, version, crop_size, with_seed, intended_use, card, region)
    with steps() as on_step:
        on_step("Reading the model, and trying the network once")
        package = import_model(file, about, which, fold, checkpoint)
    tell(f"{package.name}@{package.version}: installed in {package.folder}")


@model.command()
def export(
    name: NameArgument,
    out: Annotated[Path, typer.Option(help="Zip file to write, for `model import` elsewhere.")],
) -> None:
    """Write an installed model into one file."""
    from ..core.output_files import atomic_files, check_output_paths
    from ..segmentation.models.archive import zip_model_package
    from ..segmentation.models.registry import find_model

    package = find_model(name)
    check_output_paths([out])
    with atomic_files([out]) as (unfinished,):
        zip_model_package(package, unfinished)
    tell(f"{package.name}@{package.version}: {out}")


@model.command()
def remove(name: NameArgument) -> None:
    """Delete a model that was imported."""
    from ..segmentation.models.registry import remove_model

    tell(f"{remove_model(name).key}: removed")


@model.command()
def default(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Name; none: the shipped model.")] = None,
) -> None:
    """Choose the model that is used where none is named."""
    from ..segmentation.models.registry import set_default

    package = set_default(name)
    tell(f"{package.name}@{package.version} is used where no model is named")


def _about(
    name: str | None,
    version: str | None,
    crop_size_mm: float | None,
    with_seed: bool,
    intended_use: str | None,
    card: Path | None,
    region: str | None,
) -> About:
    from ..core.crop_format import CHANNELS
    from ..segmentation.models.pack import About

    channels = tuple(CHANNELS) if with_seed else None
    facts = None if card is None else _card(card)
    return About(name, version, crop_size_mm, channels, intended_use, card=facts, region=region)


def _card(path: Path) -> dict:
    from ..core.json_files import read_json_object

    return read_json_object(path, ModelError, "give a JSON file with an object of figures and facts as --card")
