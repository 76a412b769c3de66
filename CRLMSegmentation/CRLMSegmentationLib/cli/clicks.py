"""Seeds and correction points of several lesions, by their order on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperCommand

from ..core.points import CorrectionPoint, PointKind, PointRas
from .options import point_of

SEED = "seed"
OPTION_ORDER = f"{__name__}.option_order"


@dataclass(frozen=True)
class LesionClicks:
    """The seed of a lesion, and the points that correct its segmentation, in their order."""

    seed_ras_mm: PointRas
    points: tuple[CorrectionPoint, ...] = ()


class OrderedCommand(TyperCommand):
    """A command that remembers in what order its options were given: the parser keeps it only within each of them."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        ctx.meta[OPTION_ORDER] = [parameter.name for parameter in order]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


def option_order(context: typer.Context) -> list[str]:
    """Return the names of the options of an `OrderedCommand`, in the order in which they were given."""
    names: list[str] = context.meta[OPTION_ORDER]
    return names


def clicks_of(order: Iterable[str], given: Mapping[str, Sequence[str]]) -> list[LesionClicks]:
    """Return the clicks on each lesion; a point belongs to the seed that stands before it.

    Args:
        order: names of options as they were given; those that are not in `given` are ignored.
        given: what was given to --seed, --include and --exclude, each as `R A S`.

    Raises:
        typer.BadParameter: one is not three numbers, or a point stands before every seed.
    """
    left: dict[str, Any] = {name: iter(texts) for name, texts in given.items()}
    lesions: list[LesionClicks] = []
    for name in order:
        if name not in left:
            continue
        place = point_of(next(left[name]), f"--{name}")
        if name == SEED:
            lesions.append(LesionClicks(place))
        elif not lesions:
            raise typer.BadParameter(
                "a point belongs to the --seed before it, and there is none", param_hint=f"--{name}"
            )
        else:
            last = lesions[-1]
            lesions[-1] = LesionClicks(last.seed_ras_mm, (*last.points, CorrectionPoint(PointKind(name), place)))
    return lesions
