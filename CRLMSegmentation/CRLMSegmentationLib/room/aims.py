"""The outlines that are steered by, each with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from ..core.i18n import tr as _
from ..navigation.stability import Shells
from ..scene.seeds import seed_nodes
from ..session import Session
from .ledger import LesionLedger
from .second_looks import SecondLooks

OUT_OF_DATE = "the outline is out of date; segment it again"


@dataclass(frozen=True, eq=False)
class Aim:
    """An outline to steer by.

    Attributes:
        lesion, name: its key, and as shown.
        node: in which its segment is.
        changed_at: when its voxels changed last, see `lesions.voxels_changed_at`.
        voxel_mm: longest edge of the voxels of its volume.
        ijk_to_ras: 4x4 of its volume, world RAS mm.
        shells: of exactly this outline, if there are any.
        doubt: why it is not to be relied on, or empty.
    """

    lesion: str
    name: str
    node: slicer.vtkMRMLSegmentationNode
    changed_at: int
    voxel_mm: float
    ijk_to_ras: np.ndarray
    shells: Shells | None
    doubt: str


def aims_of(
    scene: slicer.vtkMRMLScene, session: Session, ledger: LesionLedger, second_looks: SecondLooks
) -> dict[str, Aim]:
    """What can be steered by now, by lesion."""
    node = ledger.segmentation_node
    found = {lesion: entry.found for lesion, entry in ledger.entries.items() if entry.found} if node else {}
    seeds, aims = seed_nodes(scene) if found else {}, {}
    for lesion, outline in found.items():
        volume = outline.result.volume if outline.result else session.volume
        is_known = second_looks.knows(outline)
        doubt = second_looks.doubt_of(lesion) if is_known else ""
        aims[lesion] = Aim(
            lesion,
            seeds[lesion].GetName(),
            node,
            outline.changed_at,
            float(volume.spacing_mm.max()),
            volume.ijk_to_ras,
            second_looks.shells_of(lesion) if is_known else None,
            _(OUT_OF_DATE) if lesion in ledger.stale else doubt,
        )
    return aims
