"""Records a session as a case folder while it runs: messages of the link, seeds, results and events.

    messages.igtl, arrivals.jsonl   the link, see `recording.message_log`
    events.jsonl                    what happened, see `session_events`
    volumes/*.nrrd                  volumes that are in no message
    results/NNNN-LESION.nrrd        masks
    case.json                       by `finish`, or by `crlm-seg recover` after a crash

Whatever has returned outlives the death of the process. Nothing here raises: when the disk fails, `problem` says so,
the recording ends, and the session goes on. No name of a patient is written: lesions and notes are called as the
caller calls them, volumes that came over no link lose their names.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..core.box import trimmed_mask
from ..core.errors import CrlmError
from ..core.points import CorrectionPoint, points_to_json
from ..core.progress import OnProgress
from ..core.reasons import Reason, ReasonCode
from ..core.volume import Volume
from ..igtl.dialects import PLUS, Dialect
from ..igtl.link import LinkState
from ..segmentation.incoming import LinkChanged, Noticed, Refused
from ..segmentation.models.package import ModelPackage
from ..segmentation.results import LesionFailed, LesionResult, LesionSegmented, ModelReady
from ..segmentation.session import Event
from ..tracking.displayed_distance import Withheld
from . import session_events as kinds
from .folder import claimed, discard_empty
from .message_log_writer import RecordingError
from .recovery import finish_recording
from .session_results import line_of, measures_of
from .session_storage import SessionStorage, text_of
from .summary import Recorded
from .tip_distances import Bounds, TipDistances

logger = logging.getLogger(__name__)

DEFAULT_BUDGET_BYTES = 20e9
STOPPED = "stopped"
Method = TypeVar("Method", bound=Callable[..., Any])


def _while_recording(method: Method) -> Method:
    """Make a method do nothing once the recording has ended, and end the recording when the method fails."""

    @functools.wraps(method)
    def guarded(self: SessionRecorder, *arguments: Any, **options: Any) -> None:
        if self.is_recording:
            try:
                method(self, *arguments, **options)
            except Exception as error:  # whatever it is: the operation goes on without a recording
                self._fail(error)

    return guarded  # type: ignore[return-value]


class SessionRecorder:
    """The recorder of a session until `finish` or `close`; its methods must be called by one thread.

    Args:
        folder: of the case; made, must be empty.
        budget_bytes: when it is nearly used up, less is recorded, see `budget`. Results are never left out,
            and may exceed it.
        clock: seconds that never go back.

    Attributes:
        is_recording: False after the end, and after a failure.
        results: how many have been recorded.
    """

    def __init__(
        self,
        folder: Path | str,
        budget_bytes: float = DEFAULT_BUDGET_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder, self.is_recording, self.results = Path(folder), False, 0
        self._failure = ""
        self._tips = TipDistances(clock)
        self._seeds: dict[str, tuple[float, ...]] = {}
        self._points: dict[str, dict[int, CorrectionPoint]] = {}
        self._versions: dict[str, str] = {}
        self._last_result: dict[str, int] = {}
        self._unreliable_reasons: dict[str, Reason | None] = {}
        self._was_connected = False
        self._claim = ExitStack()
        self._files: SessionStorage | None = None
        try:
            self._claim.enter_context(claimed(self.folder))
            self._files = SessionStorage(self.folder, budget_bytes, clock)
            self.is_recording = True
        except (OSError, CrlmError) as error:
            self._fail(error)
            self._claim.close()

    @property
    def problem(self) -> str:
        """The reason why the recording, or that of the link, has ended by itself; empty otherwise."""
        return self._failure or (self._files.link_problem if self._files else "")

    @property
    def notice(self) -> str:
        """What is left out now, and why; empty while everything is recorded."""
        return self._files.notice if self._files else ""

    @property
    def used_bytes(self) -> int:
        """The size on disk, without what `finish` adds."""
        return self._files.used_bytes if self._files else 0

    @property
    def events(self) -> int:
        """The number of recorded events."""
        return self._files.events if self._files else 0

    @property
    def left_out(self) -> dict[str, int]:
        """Messages of the link that were not recorded, by kind."""
        return self._files.left_out if self._files else {}

    @property
    def smallest_tip_mm(self) -> dict[str, float]:
        """The smallest distance of a tip so far, in mm, by lesion."""
        return dict(self._tips.smallest_mm)

    @property
    def _storage(self) -> SessionStorage:
        """The files; there are none where the folder could not be used, and then nothing is recorded."""
        if self._files is None:
            raise RecordingError("nothing can be recorded here")
        return self._files

    @_while_recording
    def on_message(self, header: memoryview, body: memoryview) -> None:
        """Record a message; give this to `IgtlClient` as `on_message`, after `use_link`."""
        self._storage.append(header, body)

    @_while_recording
    def use_link(self, host: str, port: int, peer: Dialect = PLUS) -> None:
        """Record that a client is about to connect."""
        self._was_connected = False
        self._storage.begin_link(host, port, peer)

    @_while_recording
    def use_model(self, model: ModelPackage) -> None:
        """Record the model that computes results from now on."""
        self._versions[model.sha256] = model.version
        self._storage.write(kinds.MODEL, name=model.name, version=model.version, sha256=model.sha256)

    @_while_recording
    def use_volume(self, volume: Volume) -> None:
        """Record a volume that came over no link; those of a link are recorded with its messages."""
        self._storage.write(kinds.VOLUME, volume=self._storage.reference(volume))

    @_while_recording
    def take(self, event: Event) -> None:
        """Record an event of the session; results that make no segmentation are left out."""
        if isinstance(event, LesionSegmented):
            if event.result.request.purpose.makes_segmentation:
                self._record_result(event.result)
        elif isinstance(event, LesionFailed):
            self._storage.write(kinds.FAILED, lesion=event.lesion, reason=event.reason, purpose=event.purpose.value)
        elif isinstance(event, LinkChanged):
            self._record_link(event.state is LinkState.CONNECTED, event.reason)
        elif isinstance(event, ModelReady):
            about = {"device": event.device, "cold_start_s": event.cold_start_s, "versions": event.versions}
            self._storage.write(kinds.READY, **about, warnings=event.warnings)
        elif isinstance(event, (Refused, Noticed)):
            self._storage.write(kinds.NOTE, text=event.reason, device=event.device)

    @_while_recording
    def seed(self, lesion: str, seed_ras_mm: Sequence[float] | np.ndarray, volume: Volume | None = None) -> None:
        """Record the position of a seed where it has changed; call it when the user releases the seed.

        Args:
            volume: in which it was placed.
        """
        seed = tuple(float(x) for x in seed_ras_mm)
        if self._seeds.get(lesion) == seed:
            return
        kind = kinds.SEED_MOVED if lesion in self._seeds else kinds.SEED_PLACED
        identity = None if volume is None else {**vars(volume.identity), "device": self._storage.name_of(volume)}
        self._storage.write(kind, lesion=lesion, seed_ras_mm=seed, volume=identity)
        self._seeds[lesion] = seed

    @_while_recording
    def points(self, lesion: str, points: Mapping[int, CorrectionPoint]) -> None:
        """Record which correction points of a lesion have been placed, moved or removed since they were told last.

        Args:
            points: all that it has now, by their numbers, ascending.
        """
        before, now = self._points.get(lesion, {}), dict(points)
        self._points[lesion] = now
        recorded = dict(before)
        for number, point in {**before, **now}.items():
            if before.get(number) == now.get(number):
                continue
            if number not in now:
                kind = kinds.POINT_REMOVED
                del recorded[number]
            else:
                kind = kinds.POINT_MOVED if number in before else kinds.POINT_PLACED
                recorded[number] = point
            about = points_to_json([point, *dict(sorted(recorded.items())).values()])
            self._storage.write(kind, lesion=lesion, number=number, point=about[0], points=about[1:])

    @_while_recording
    def seed_removed(self, lesion: str) -> None:
        """Record that a lesion was removed, with its points."""
        self._points.pop(lesion, None)
        if self._seeds.pop(lesion, None) is not None:
            self._storage.write(kinds.SEED_REMOVED, lesion=lesion)

    @_while_recording
    def result(self, result: LesionResult) -> None:
        """Record the segmentation of a lesion; `take` does the same for its event."""
        self._record_result(result)

    @_while_recording
    def corrected(
        self,
        lesion: str,
        mask: np.ndarray | None = None,
        volume: Volume | None = None,
        offset_kji: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """Record the segmentation of a lesion that a user has edited.

        Args:
            mask: bool, shape (K, J, I) of the volume, or of a part of it; None where it is not at hand.
            offset_kji: of the first voxel of the mask in the volume.
        """
        self._write_segmentation(kinds.CORRECTED, lesion, self._last_result.get(lesion), mask, volume, offset_kji)

    @_while_recording
    def undone(
        self,
        lesion: str,
        result: int | None = None,
        mask: np.ndarray | None = None,
        volume: Volume | None = None,
        offset_kji: tuple[int, int, int] = (0, 0, 0),
        again: bool = False,
    ) -> None:
        """Record that the last change of a lesion's segmentation was undone.

        Args:
            result: number of the result that the segmentation is or was made of now; None where none stands.
            mask, volume, offset_kji: as in `corrected`, of a segmentation that is not that of the result.
            again: what had been taken back was done again.
        """
        self._last_result.pop(lesion, None)
        if result is not None:
            self._last_result[lesion] = result
        self._write_segmentation(kinds.REDONE if again else kinds.UNDONE, lesion, result, mask, volume, offset_kji)

    @_while_recording
    def taken_over(
        self,
        lesion: str,
        mask: np.ndarray | None,
        volume: Volume | None,
        offset_kji: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """Record the segmentation of a lesion that was in the scene already, as after loading one; see `corrected`."""
        self._last_result.pop(lesion, None)
        self._write_segmentation(kinds.TAKEN_OVER, lesion, None, mask, volume, offset_kji)

    @_while_recording
    def recalculated(self, lesion: str, why: str) -> None:
        """Record that a lesion is being segmented again without its seed having moved."""
        self._storage.write(kinds.RECALCULATED, lesion=lesion, why=why)

    @_while_recording
    def unreliable_reason(self, name: str, reason: Reason | None) -> None:
        """Record why a sensor or an instrument is unreliable, or None; written only when the reason changes."""
        before = self._unreliable_reasons.get(name)
        self._unreliable_reasons[name] = reason
        if reason is not None and (before is None or reason.kind != before.kind):
            self._storage.write(kinds.IN_DOUBT, name=name, **reason.to_json())
        elif before is not None and reason is None:
            self._storage.write(kinds.TRUSTED_AGAIN, name=name)

    @_while_recording
    def tip_distance(self, lesion: str, distance_mm: float, instrument: str = "", bounds_mm: Bounds = None) -> None:
        """Record the smallest distance of the tip from a lesion, in mm, negative inside; cheap enough for each pose."""
        if self._tips.update_smallest(lesion, distance_mm, instrument, bounds_mm):
            self._storage.write(kinds.TIP_DISTANCE, **self._tips.written(lesion))

    @_while_recording
    def shown_distance(
        self,
        lesion: str,
        distance_mm: float,
        instrument: str,
        bounds_mm: Bounds = None,
        warnings: Sequence[Reason] = (),
    ) -> None:
        """Record the distance that is shown (`tracking.displayed_distance`), about once a second, for its curve.

        Args:
            warnings: what is shown beside it.
        """
        if self._tips.is_due(lesion, distance_mm, instrument):
            about = {"lesion": lesion, "distance_mm": distance_mm, "bounds_mm": bounds_mm, "instrument": instrument}
            self._storage.write(kinds.TIP, **about, cautions=[warning.to_json() for warning in warnings])

    @_while_recording
    def distance_withheld(self, withheld: Sequence[Withheld] = (), warnings: Sequence[Reason] = ()) -> None:
        """Record that no distance is shown, and why; written when that changes."""
        is_idle = all(each.reason.code is ReasonCode.NO_INSTRUMENT for each in withheld)
        if self._tips.is_withheld(tuple(reason.kind for reason in withheld), is_idle):
            reasons = [{"lesion": r.lesion, "instrument": r.instrument, **r.reason.to_json()} for r in withheld]
            beside = [warning.to_json() for warning in warnings]
            self._storage.write(kinds.TIP, lesion=None, distance_mm=None, withheld=reasons, cautions=beside)

    @_while_recording
    def source(self, is_simulated: bool) -> None:
        """Record whether the data that arrive now are simulated."""
        self._storage.write(kinds.SOURCE, simulated=is_simulated)

    @_while_recording
    def note(self, text: str, **about: object) -> None:
        """Record a note."""
        self._storage.write(kinds.NOTE, text=text, **about)

    def finish(self, why: str = STOPPED, on_progress: OnProgress = lambda *_: None) -> Recorded | None:
        """End the recording and make a case of it. Reads all of it, seconds for each gigabyte.

        Returns:
            None where there is no case: nothing was recorded, and then nothing is left; or `problem` says why.
        """
        self._end(why)
        try:
            if self._files is not None and not self._is_worth_a_case():
                discard_empty(self.folder)
            elif self._files is not None:
                return finish_recording(self.folder, on_progress)
        except (OSError, CrlmError) as error:
            self._failure = self._failure or text_of(error)
        finally:
            self._claim.close()
        return None

    def close(self, why: str = STOPPED) -> None:
        """End the recording at once; `crlm-seg recover` makes a case of it."""
        self._end(why)
        self._claim.close()

    def _end(self, why: str) -> None:
        self._write_last(why)
        self.is_recording = False
        if self._files is not None:
            self._files.close(why)

    @_while_recording
    def _write_last(self, why: str) -> None:
        for lesion in self._tips.unwritten():
            self._storage.write(kinds.TIP_DISTANCE, **self._tips.written(lesion))
        self._storage.write(kinds.ENDED, why=why, left_out=self.left_out)

    def _record_result(self, result: LesionResult) -> None:
        reference, mask, lesion = self._storage.reference(result.volume), result.mask, result.request.lesion
        written = self._storage.save_mask(lesion, mask.part, mask.offset_kji, result.volume)
        number, version = self.results + 1, self._versions.get(result.model_sha256, "")
        self._storage.write(kinds.RESULT, number=number, **line_of(result, version), volume=reference, mask=written)
        self.results, self._last_result[lesion] = number, number

    def _write_segmentation(
        self,
        kind: str,
        lesion: str,
        result: int | None,
        mask: np.ndarray | None,
        volume: Volume | None,
        start_kji: tuple[int, int, int],
    ) -> None:
        about: dict[str, Any] = {"lesion": lesion, "result": result}
        if mask is not None and volume is not None:
            reference, (part, offset_kji) = self._storage.reference(volume), trimmed_mask(mask, start_kji)
            written = self._storage.save_mask(f"{lesion}-{kind.split()[0]}", part, offset_kji, volume)
            about.update(volume=reference, mask=written)
            about.update(measures_of(part, offset_kji, volume.ijk_to_ras))
        self._storage.write(kind, **about)

    def _record_link(self, is_connected: bool, reason: str) -> None:
        if is_connected == self._was_connected:
            return
        self._was_connected = is_connected
        self._storage.write(kinds.CONNECTED if is_connected else kinds.LINK_LOST, **({"why": reason} if reason else {}))
        self._storage.note_link(is_connected, reason)

    def _fail(self, error: Exception) -> None:
        self.is_recording = False
        reason = text_of(error)
        self._failure = f"the recording has ended: {reason}; the session goes on without it"
        is_known = isinstance(error, (OSError, CrlmError))
        logger.warning("%s: %s", self.folder, self._failure, exc_info=not is_known)
        if self._files is not None:
            self._files.fail(reason)

    def _is_worth_a_case(self) -> bool:
        return bool(self.results or self._seeds or self.problem or self._storage.has_images)
