"""The workspace: a session shown in a scene, which segments at seeds and navigates to what was found.

Something calls `tick` every 10 to 20 ms, a QTimer in Slicer. Seeds, volumes and segmentations are read from the scene
at each turn instead of being observed: there is no observer to be left behind, and a node that a user deletes is
simply not there at the next turn.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from weakref import ref

import numpy as np
import slicer

from ...core.child_process import ChildProcess
from ...core.errors import CrlmError
from ...core.volume import Volume
from ...igtl.link import Link, LinkState
from ...recording.recorded_link import RecordedLink
from ...segmentation.calibration import ModelCalibration
from ...segmentation.engine.engine import Engine
from ...segmentation.incoming import (
    DeviceForgotten,
    ImageArrived,
    LinkChanged,
    Noticed,
    Refused,
    TransformArrived,
    VolumeArrived,
)
from ...segmentation.models.package import ModelPackage
from ...segmentation.results import LesionFailed, LesionProgress, LesionSegmented, ModelReady, Purpose
from ...segmentation.session import Event, Session
from ..scene.leftovers import Leftovers
from .background_refinement import BackgroundRefinement
from .clicks import Clicks
from .crop_box import ShownCrop
from .current_volume import CurrentVolume
from .events import Events, ModelChanged, VolumeLeft
from .lesion import LesionRow
from .lesion_points import LesionPoints
from .lesion_requests import LesionRequests
from .lesion_rows import rows_of
from .lesion_store import LesionStore
from .link_devices import LinkDevices
from .message_rate import MessageRate
from .navigation import Navigation
from .navigation_targets import lesion_targets
from .render_limiter import RenderLimiter
from .report_processes import end_processes, poll_processes
from .resegmentation import Resegmentation
from .result_handler import SELF_CHECK, ResultHandler
from .run_all import run_all
from .seed_preview import SeedPreview
from .segmentation_style import SegmentationStyle
from .volume_memory import VolumeMemory
from .workspace_log import WorkspaceLog


class Workspace:
    """Drives session, scene and navigation; `tick` is called every 10 to 20 ms.

    Args:
        scene: Slicer's own, or one of `scene.headless.new_scene`.
        session: closed together with this.
        python: interpreter for what takes long; 3D Slicer has to name one, its own is hidden.
        clock: seconds that never go back.

    Attributes:
        volume, lesion_store: the volume that is segmented, and its lesions.
        clicks, points: what the user places, and the correction points of the lesions.
        requests: for lesions, with the options that are set.
        style: how segmentations are shown.
        link_devices: what has arrived over the link.
        models, calibrations: those that have been in use here, and what is known of their errors, by their hash.
        link_state, link_reason: of the source.
        ready: what the engine said when it was ready; None while it is not.
        readies: the same of each model that has been in use, by its hash; kept when its engine has given up.
        engine_problem: why the engine has given up, empty otherwise.
        events: tells listeners what happens.
        results: what has come of them; also that of `run_self_check`.
        background_refinement, resegmentation: what the network is asked for without anybody clicking.
        memory: bounds what volumes take together.
        navigation: tools, distances and margins.
        render_limiter: decides which turns may change what the views show.
        may_draw: whether this turn may change what the views show; poses that come in others wait for the next.
        children: processes at work for the workspace; they end with it.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        session: Session,
        python: str = sys.executable,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.scene, self.session, self.python, self._clock = scene, session, python, clock
        self.children: list[ChildProcess] = []
        self.events = Events()
        self.volume = CurrentVolume(scene, session, clock, self.events)
        self.lesion_store = LesionStore(scene, self.volume, clock, self.events)
        self.models: dict[str, ModelPackage] = {}
        self.calibrations: dict[str, ModelCalibration | None] = {}
        self._volume_link: ref[Link] | None = None
        self.link_state, self.link_reason = LinkState.CLOSED, ""
        self.ready: ModelReady | None = None
        self.readies: dict[str, ModelReady] = {}
        self.engine_problem = ""
        self._log = WorkspaceLog(clock)
        self.background_refinement, self.resegmentation = (
            BackgroundRefinement(session, self.lesion_store, clock),
            Resegmentation(session, self.lesion_store, clock),
        )
        self._preview = SeedPreview(scene, session, self.lesion_store)
        self.navigation = Navigation(scene, clock, self.events)
        self.render_limiter, self.may_draw = RenderLimiter(clock), True
        self.results = ResultHandler(
            self.volume, self.lesion_store, self.background_refinement, clock, self.note, self.events
        )
        self.requests = LesionRequests(
            scene,
            session,
            self.volume,
            self.lesion_store,
            self.background_refinement,
            self.resegmentation,
            self._preview,
            self.results,
            clock,
            self.events,
        )
        note_memory = self._log.limited()
        self.style, self._crop = SegmentationStyle(self.lesion_store), ShownCrop(scene)
        self.link_devices = LinkDevices(
            scene,
            session,
            self.volume,
            self.lesion_store,
            self.navigation,
            clock,
            self.note,
            note_memory,
        )
        self.points = LesionPoints(scene, session, self.lesion_store, clock, self.events)
        self.clicks = Clicks(scene, self.lesion_store, self.points, self.navigation, self.link_devices)
        self._leftovers = Leftovers(scene)
        self._note_link, self._note_volume = self._log.limited(), self._log.limited()
        self._note_unplaced = self._log.limited(lines=1)
        self.memory = VolumeMemory(scene, session, self.volume, self.lesion_store, note_memory)
        session.refuse_volume = self.memory.refusal_of_volume
        self.lesion_store.on_removed = self._handle_removed
        self._know_model()
        self.lesion_store.take_over_seeds()
        self.lesion_store.refresh_staleness()

    def use_link(self, link: Link | None, of_current_volume: bool = False) -> None:
        """Take volumes and transforms from a link, or from none; the one before is closed.

        Args:
            of_current_volume: its poses belong to the current volume, as those of a recording that is played again;
                else that is only so of volumes that come over it.
        """
        if self.session.link is not None:
            self.events.emit(LinkChanged(LinkState.CLOSED, "disconnected"))
        self.session.use_link(link)
        self.resegmentation.leave_volume()
        self.link_devices.leave_link()
        self.navigation.forget_tools(is_live=not isinstance(link, RecordedLink))
        self.link_state, self.link_reason = (link.state, link.state_reason) if link else (LinkState.CLOSED, "")
        if link is not None and of_current_volume:
            self._volume_link = ref(link)

    def use_node(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Segment in a volume of the scene from now on.

        Raises:
            VolumeError, GeometryError: it cannot be segmented.
        """
        if node is not self.volume.node:
            self._leave_volume()
        self.volume.use(node)
        self.lesion_store.adopt()
        self.style.apply()
        self.lesion_store.refresh_staleness()

    def follow(self, device: str | None) -> None:
        """Segment in the volumes of one device only, from its last one on; None for the newest of all."""
        self.session.follow(device)
        node = self.link_devices.node_of(device)
        if node is not None and node is not self.volume.node:
            self.use_node(node)
            self._volume_link = ref(self.session.link) if self.session.link else None

    def use_model(self, engine: Engine, model: ModelPackage) -> None:
        """Answer with another model from now on; what is being segmented is given up, what was found stays."""
        self.ready, self.engine_problem = None, ""
        self.background_refinement.cancel()
        self.session.use_model(engine, model)
        self._know_model()
        self.events.emit(ModelChanged(model))
        self.note(f"model {model.name} {model.version} {model.sha256[:8]} was chosen")

    @property
    def devices(self) -> dict[str, str]:
        """What has arrived over the link: device name to "volume", "image" or "transform"."""
        return self.link_devices.kinds

    @property
    def message_rate(self) -> MessageRate:
        """Messages of the link."""
        return self.link_devices.message_rate

    def show_crop_box(self, is_visible: bool) -> None:
        """Show the cube around the active seed in the views, with its handles, or hide it."""
        self._crop.is_visible = is_visible

    def add_seed(self, seed_ras_mm: np.ndarray | None = None) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Add a lesion with its seed; without a position the user places it."""
        return self.clicks.add_seed(seed_ras_mm)

    def remove_seed(self, lesion: str) -> None:
        """Remove a lesion with its segmentation and points; undo brings all back."""
        self.clicks.remove_seed(lesion)

    def segment(self, lesions: Sequence[str] | None = None) -> None:
        """Request the segmentation of lesions, see `LesionRequests.segment`; results come with `tick`."""
        self.requests.segment(lesions)

    def cancel(self) -> None:
        """Cancel all requests; what was found stays."""
        self.session.cancel()
        self.background_refinement.cancel()

    def run_self_check(self, volume: Volume, seed_ras_mm: np.ndarray) -> None:
        """Segment in a volume that is not shown; the result becomes `results.self_check`.

        Raises:
            SeedError: the seed is not in the field of view.
        """
        self.results.self_check, self.results.self_check_problem = None, ""
        self.session.segment(SELF_CHECK, seed_ras_mm, volume=volume)

    def restart_engine(self) -> None:
        """Start the engine again after it has given up."""
        self.engine_problem = ""
        self.session.engine.start()

    def rows(self) -> list[LesionRow]:
        """Return the rows of the table of lesions, in the order in which their seeds were made."""
        return rows_of(self.lesion_store, self.background_refinement)

    def tick(self, budget_s: float = 0.004) -> list[Event]:
        """Do one turn of work without blocking; returns the events of the session.

        Raises:
            Exception: of the first step that failed, after all others have been done.
        """
        events = self.session.poll(budget_s)
        is_drawn_anyway = any(_is_drawn_at_once(event) for event in events)
        self.may_draw = self.render_limiter.allows(self.lesion_store.is_waited_for, is_drawn_anyway)
        run_all(
            [
                *(partial(self._handle, event) for event in events),
                self._update_link,
                self._update_volume,
                self.lesion_store.update,
                self.points.update,
                self._leftovers.update,
                partial(self._crop.follow, self.requests, self.lesion_store),
                self.requests.segment_settled,
                self.requests.segment_again,
                self.requests.ask_for_preview,
                self._navigate,
                self.navigation.prepare,
                *([self.link_devices.show_transforms, self.navigation.show] if self.may_draw else []),
                *([self._preview.show] if self.may_draw else []),
                partial(poll_processes, self.children, self.note),
            ]
        )
        return events

    poll = tick
    """A workspace is driven like its session, see `segmentation.wait`."""

    def close(self) -> None:
        """End the link, the engine and the children with everything they have started."""
        self.session.close()
        end_processes(self.children)

    @property
    def log(self) -> deque[str]:
        """What has happened, oldest first, for people."""
        return self._log.lines

    def note(self, text: str) -> None:
        """Add a line to the log."""
        self._log.note(text)

    def _know_model(self) -> None:
        self.models[self.session.model.sha256] = self.session.model
        self.lesion_store.model_sha256 = self.session.model.sha256
        self.calibrations[self.session.model.sha256] = self.background_refinement.calibration

    def _handle(self, event: Event) -> None:
        if isinstance(event, (LinkChanged, ModelReady, Refused, Noticed)):
            self.events.emit(event)
        if isinstance(event, TransformArrived):
            self.link_devices.receive_transform(event.message)
        elif isinstance(event, ImageArrived):
            self.link_devices.receive_image(event.device)
        elif isinstance(event, VolumeArrived):
            self._show_arrived_volume(event)
        elif isinstance(event, DeviceForgotten):
            self.link_devices.forget(event)
        elif isinstance(event, LinkChanged):
            self._note_link(f"link {event.state.value} {event.reason}".rstrip())
        elif isinstance(event, ModelReady):
            self.ready = self.readies[self.session.model.sha256] = event
            self.engine_problem = ""
            self.note(f"model ready on {event.device} after {event.cold_start_s:.1f} s")
        elif isinstance(event, LesionProgress):
            self.results.handle_progress(event)
        elif isinstance(event, LesionSegmented) and event.result.request.purpose is Purpose.PREVIEW:
            self._preview.handle_result(event.result)
        elif isinstance(event, LesionSegmented):
            self.results.handle_result(event.result)
            self.style.apply()
        elif isinstance(event, LesionFailed):
            self._handle_failure(event)
        elif isinstance(event, Refused):
            self.note(f"'{event.device}' cannot be used: {event.reason}" if event.device else event.reason)
        elif isinstance(event, Noticed):
            self.note(f"'{event.device}': {event.reason}" if event.device else event.reason)

    def _show_arrived_volume(self, event: VolumeArrived) -> None:
        volume = event.volume
        node = self.link_devices.show_volume(volume)
        self._note_volume(f"volume {volume.identity} received in {event.receive_s:.2f} s")
        if volume is not self.session.volume:
            self.lesion_store.refresh_staleness()
            return
        if node is not self.volume.node:
            self._leave_volume()
        self.volume.use(node, volume)
        self._volume_link = ref(self.session.link) if self.session.link else None
        self.resegmentation.note_volume(volume.identity)
        self.lesion_store.adopt()
        self.style.apply()
        self.lesion_store.refresh_staleness()

    def _handle_failure(self, event: LesionFailed) -> None:
        if event.purpose is Purpose.PREVIEW:
            return  # the seed is still being moved; what is wrong there is told when it is segmented
        if event.lesion != SELF_CHECK:
            self.events.emit(event)
        if event.lesion is not None:
            self.results.handle_failure(event)
        else:
            self.engine_problem, self.ready = event.reason, None
            self.note(event.reason)

    def _leave_volume(self) -> None:
        self.lesion_store.leave_volume()
        self.events.emit(VolumeLeft())
        self.resegmentation.leave_volume()
        self.background_refinement.cancel()
        self._volume_link = None

    def _update_link(self) -> None:
        """Read the state of the link: numbers in its reason, such as seconds of silence, change without an event."""
        link = self.session.link
        if link is not None:
            self.link_state, self.link_reason = link.state, link.state_reason

    def _update_volume(self) -> None:
        if self.volume.is_lost:
            self.session.cancel()
            self._leave_volume()
            self.volume.leave()
            self.note("the volume was removed from the scene")
        else:
            change = self.volume.notice_change()
            if change:
                self.note(f"{change}; its segmentations are out of date")
                self.lesion_store.refresh_staleness()

    def _handle_removed(self, lesion: str) -> None:
        """Drop what is under way for a lesion that was removed; another may be called the same."""
        self.session.drop(lesion)
        self.navigation.approaches.forget(lesion)

    def _navigate(self) -> None:
        link = self.session.link
        self.navigation.is_of_other_source = link is not None and (
            self._volume_link is None or self._volume_link() is not link
        )
        try:
            targets = lesion_targets(self.scene, self.session, self.lesion_store, self.calibrations)
        except CrlmError as error:  # nothing that can be measured to; a distance that stays would be an old one
            targets = {}
            self._note_unplaced(f"no distances: {error}")
        self.navigation.update(targets)


def _is_drawn_at_once(event: Event) -> bool:
    """Return whether an event is not to wait for the views; a preview is, lest it take time from what moves."""
    if isinstance(event, LesionSegmented):
        return event.result.request.purpose is not Purpose.PREVIEW
    return isinstance(event, VolumeArrived)
