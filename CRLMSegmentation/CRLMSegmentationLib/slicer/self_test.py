"""Self-test of the module: play a shipped case, place its seed, compare with the reference segmentation."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..core.errors import CrlmError
from ..core.i18n import tr as _
from ..core.resources import resource_path
from ..recording.case import load_case
from ..segmentation.models.package import default_model_package

SAMPLE = "phantom-hypoechoic"
PATIENCE_S, PAUSE_S = 180.0, 0.005
SPEED = 20.0


def dice_of_sample(logic: Any, pause: Callable[[], None]) -> float:
    """Return the Dice of the shipped model's segmentation of the first lesion with its reference.

    Args:
        logic: the module's, without a workspace; it has none afterwards.
        pause: called between two turns.

    Raises:
        CrlmError: no segmentation has come; says why.
    """
    case = load_case(resource_path("SampleCases", SAMPLE))
    lesion, end_s = case.lesions[0], time.monotonic() + PATIENCE_S
    logic.openWorkspace(default_model_package().folder)
    try:
        logic.source.play_or_pause(case.folder, SPEED)
        workspace = logic.workspace
        while not (workspace.lesion_store.rows() and workspace.lesion_store.rows()[0].is_current):
            logic.tick()
            if workspace.volume.node is not None and not workspace.lesion_store.rows():
                workspace.add_seed(lesion.seed_ras_mm)
            if time.monotonic() > end_s or workspace.engine_problem:
                problem = workspace.engine_problem or _("no segmentation within {seconds:.0f} s").format(
                    seconds=PATIENCE_S
                )
                raise CrlmError(problem)
            pause()
            time.sleep(PAUSE_S)
        result = workspace.lesion_store.entries[lesion.name].segmentation.result
        truth = case.truth_of(lesion, result.volume)
        if truth is None:
            raise CrlmError(_("the shipped case is missing its ground truth; install the extension again"))
        return float(2 * (result.mask.mask & truth).sum() / (result.mask.mask.sum() + truth.sum()))
    finally:
        logic.closeWorkspace()
