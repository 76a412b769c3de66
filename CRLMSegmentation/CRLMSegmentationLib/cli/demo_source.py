"""Input of the demo: a case, a tracked sweep or a volume, checked before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..core.errors import CaseError
from ..recording.case import Case, CaseLesion, load_case, no_volume_in
from ..recording.reconstruct import check_calibrated
from ..recording.sweep_messages import RecordedSweep
from ..recording.timeline import DEFAULT_DEVICE, Source, load_source
from ..tracking.sweeps.calibration import read_calibration

Seed = tuple[float, float, float]
"""R, A, S in mm."""


@dataclass(frozen=True, eq=False)
class DemoSource:
    """A recording to play, with the seeds of its lesions.

    Attributes:
        loaded: the same, as it is played in this process.
        case: with its seeds; of a single file it holds no more than that.
        devices: names under which its volumes come.
        is_sweep: volumes are reconstructed while it is played.
    """

    path: Path
    loaded: Source
    case: Case
    devices: frozenset[str]
    calibration: str | None = None
    is_sweep: bool = False

    @property
    def simulated(self) -> bool | None:
        """Whether the recording is a simulated patient; None if that is not known."""
        return self.case.source["kind"] == "simulated" if "kind" in self.case.source else None


def demo_source(path: Path, seeds: Sequence[Seed], calibration: str | None) -> DemoSource:
    """Load and check the recording that shall be played.

    Args:
        seeds: instead of those of the case; sweeps and volumes have none of their own.

    Raises:
        CaseError, SweepError, VolumeError: it is damaged, holds no volume or has no seed.
    """
    loaded = load_source(path, None if calibration is None else read_calibration(calibration))
    lesions = tuple(CaseLesion(f"Tumour {number}", seed) for number, seed in enumerate(seeds, 1))
    if isinstance(loaded, Case):
        case = replace(load_case(loaded.folder), lesions=lesions or loaded.lesions)
        if not case.volumes:
            raise CaseError(no_volume_in(case))
        source = DemoSource(case.folder, loaded, case, case.volume_devices)
    else:
        if isinstance(loaded, RecordedSweep):
            check_calibrated(loaded)
        case = Case(path.parent, path.name, volumes=(), lesions=lesions)
        devices = frozenset([DEFAULT_DEVICE])
        source = DemoSource(path, loaded, case, devices, calibration, isinstance(loaded, RecordedSweep))
    if not case.lesions:
        raise CaseError(f"{case.case_id} has no seed; give one with --seed R A S, or add it to the case.json of a case")
    return source
