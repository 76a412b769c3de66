"""The workspace: a session shown in a scene, which segments at seeds and navigates to what was found.

Something calls `tick` every 10 to 20 ms, a QTimer in Slicer. Seeds, volumes and segmentations are read from the scene
at each turn instead of being observed: there is no observer to be left behind, and a node that a user deletes is
simply not there at the next turn.
"""

from __future__ import annotations

import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from weakref import ref

import numpy as np
import slicer

from ...core.child_process import ChildProcess
from ...core.errors import CrlmError, SeedError
from ...core.i18n import tr as _
from ...core.reasons import Reason, translated
from ...core.volume import Volume
from ...igtl.limits import LimitedLog
from ...igtl.link import Link, LinkState
from ...igtl.messages import TransformMessage
from ...igtl.statistics import DropReason
from ...recording.recorded_link import RecordedLink
from ...segmentation.calibration import ModelCalibration
from ...segmentation.engine.engine import Engine
from ...segmentation.incoming import (
    TRANSFORM,
    VOLUME,
    DeviceForgotten,
    ImageArrived,
    LinkChanged,
    Noticed,
    Refused,
    TransformArrived,
    VolumeArrived,
)
from ...segmentation.models.package import ModelPackage
from ...segmentation.results import LesionFailed, LesionProgress, LesionSegmented, ModelReady, Options, Purpose
from ...segmentation.session import Event, Session
from ..scene.nodes import DEVICE, find_node, put_under, remove_leftovers, remove_node, tip_of
from ..scene.seeds import free_colour, free_lesion_name, seed_nodes, seeds_in, show_seed
from ..scene.volumes import CLASS as VOLUME_CLASS
from ..scene.volumes import is_used_elsewhere, mark_as_from_link, show_volume
from .background_refinement import BackgroundRefinement
from .crop_box import ShownCrop
from .current_volume import CurrentVolume
from .device_transforms import DeviceTransforms
from .events import Events, LesionAsked, ModelChanged, VolumeLeft
from .lesion import Lesion, LesionRefinement, LesionRow, LesionState
from .lesion_rows import rows_of
from .lesion_store import LesionStore
from .message_rate import MessageRate
from .navigation import Navigation
from .navigation_targets import lesion_targets
from .render_limiter import RenderLimiter
from .resegmentation import Resegmentation
from .result_handler import SELF_CHECK, ResultHandler
from .run_all import run_all
from .seed_preview import SeedPreview
from .volume_memory import VolumeMemory

logger = logging.getLogger(__name__)

SETTLE_S = 0.3
"""A seed that has lain still for so long has been placed; a dragged one is not segmented at every step."""
LOG_LINES, LOG_CHARACTERS = 500, 2000
"""What is kept; an engine or a file may say more than a person reads."""
LINK_LINES, LINK_LINES_PER_S = 20, 1 / 60
"""A link that comes and goes, or live volumes, must not drive everything else out of the log."""
END_TIMEOUT_S = 10.0


class Workspace:
    """Drives session, scene and navigation; `tick` is called every 10 to 20 ms.

    Args:
        scene: Slicer's own, or one of `scene.headless.new_scene`.
        session: closed together with this.
        python: interpreter for what takes long; 3D Slicer has to name one, its own is hidden.
        clock: seconds that never go back.

    Attributes:
        volume, lesion_store: the volume that is segmented, and its lesions.
        auto_segment: segment by itself when a seed has been placed or moved.
        crop_size_mm: edge of the cube around a seed, where the model is shown one.
        models, calibrations: those that have been in use here, and what is known of their errors, by their hash.
        message_rate: messages of the link.
        mirroring: average over mirrored copies.
        link_state, link_reason: of the source.
        ready: what the engine said when it was ready; None while it is not.
        readies: the same of each model that has been in use, by its hash; kept when its engine has given up.
        engine_problem: why the engine has given up, empty otherwise.
        devices: what has arrived over the link, device name to "volume", "image" or "transform".
        log: what has happened, oldest first, for people.
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
        self.auto_segment, self.mirroring = True, False
        self.crop_size_mm = session.model.crop_size_mm
        self.models: dict[str, ModelPackage] = {}
        self.calibrations: dict[str, ModelCalibration | None] = {}
        self._volume_link: ref[Link] | None = None
        self.link_state, self.link_reason = LinkState.CLOSED, ""
        self.ready: ModelReady | None = None
        self.readies: dict[str, ModelReady] = {}
        self.engine_problem = ""
        self.devices: dict[str, str] = {}
        self._device_transforms = DeviceTransforms(scene, self._forget_transform)
        self.log: deque[str] = deque(maxlen=LOG_LINES)
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
        self._nodes_seen = (0, "")
        self._outline_style: tuple[float, bool] | None = None
        self._styled_id: str | None = None
        self.message_rate, self._crop = MessageRate(clock), ShownCrop(scene)
        self._note_link, self._note_volume = self._limited_note(), self._limited_note()
        self._limited_memory = self._limited_note()
        self._note_unplaced = LimitedLog(lambda level, text: self.note(text), 1, LINK_LINES_PER_S, clock)
        self.memory = VolumeMemory(scene, session, self.volume, self.lesion_store, self._note_memory)
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
        self.devices, self.message_rate = {}, MessageRate(self._clock)
        self._device_transforms.leave_link()
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
        self._style_outlines()
        self.lesion_store.refresh_staleness()

    def follow(self, device: str | None) -> None:
        """Segment in the volumes of one device only, from its last one on; None for the newest of all."""
        self.session.follow(device)
        node = find_node(self.scene, VOLUME_CLASS, device) if device in self.devices else None
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
    def sees_whole_volume(self) -> bool:
        """Whether the model sees the whole volume instead of a cube around the seed."""
        return self.session.model.region == "volume"

    def show_crop_box(self, is_visible: bool) -> None:
        """Show the cube around the active seed in the views, with its handles, or hide it."""
        self._crop.is_visible = is_visible

    @property
    def problem_count(self) -> int:
        """Number of messages of the link that were refused or suspicious."""
        return self.session.problems.count

    @property
    def problem_lines(self) -> list[str]:
        """A line for each kind of refused or suspicious message and its device, with its count."""
        return [str(problem) for problem in self.session.problems]

    def add_seed(self, seed_ras_mm: np.ndarray | None = None) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Add a lesion with its seed; without a position the user places it."""
        lesion = free_lesion_name(self.scene)
        self.lesion_store.active_lesion = lesion
        return show_seed(self.scene, lesion, seed_ras_mm, free_colour(self.scene))

    def add_seed_at_tip(self, tool: slicer.vtkMRMLLinearTransformNode | None) -> slicer.vtkMRMLMarkupsFiducialNode:
        """Add a lesion with its seed at the tip of a tracked tool.

        Args:
            tool: None for the only pointer that is tracked.

        Raises:
            SeedError: no tool, or several, or its pose cannot be relied on at this moment.
        """
        if tool is None:
            return self.add_seed(self.navigation.pointer_tip_ras_mm())
        tip_ras_mm = self.navigation.tip_of_device(tool.GetAttribute(DEVICE) or "")
        if isinstance(tip_ras_mm, Reason):
            text = _("no seed can be placed with '{tool}' now: {reason}; hold it within the tracker's field")
            raise SeedError(text.format(tool=tool.GetName(), reason=translated(tip_ras_mm)))
        self._device_transforms.show()  # a pose may be waiting for the views
        return self.add_seed(tip_of(tool) if tip_ras_mm is None else tip_ras_mm)

    def remove_seed(self, lesion: str) -> None:
        """Remove a lesion with its segmentation; undo brings both back."""
        node = seed_nodes(self.scene).get(lesion)
        if node is not None:
            remove_node(self.scene, node)

    def rename_lesion(self, lesion: str, name: str) -> None:
        """Give a lesion another name; an empty one changes nothing."""
        node = seed_nodes(self.scene).get(lesion)
        if node is not None and name.strip():
            node.SetName(name.strip())

    def set_segmentation_style(self, opacity: float, outline_only: bool) -> None:
        """Set how segmentations are shown from now on: the opacity of surfaces from 0 to 1, in 2D only their edge."""
        self._outline_style, self._styled_id = (opacity, outline_only), None
        self._style_outlines()

    def segment(self, lesions: Sequence[str] | None = None) -> None:
        """Request the segmentation of lesions, by default of all that have a seed; results come with `tick`.

        Raises:
            SeedError: no seed has been placed.
            VolumeError: there is no volume.
        """
        seeds = seeds_in(self.scene)
        wanted = [lesion for lesion in (seeds if lesions is None else lesions) if lesion in seeds]
        if not wanted:
            raise SeedError(_("no seed has been placed; place one in the middle of the tumour"))
        self.volume.read_again_if_changed()
        for lesion in wanted:
            self._ask_for(lesion, seeds[lesion])

    def request_of(self, lesion: str, seed_ras_mm: np.ndarray) -> LesionAsked:
        """Return the event of asking for a lesion now."""
        volume = self.session.volume
        identity = None if volume is None else volume.identity
        return LesionAsked(lesion, seed_ras_mm, identity, self.session.model.sha256, self.crop_size_mm)

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
                self._update_lesions,
                self._remove_leftovers,
                self._update_crop_box,
                *([self._segment_settled] if self.auto_segment else []),
                self._segment_again,
                self._ask_for_preview,
                self._navigate,
                self.navigation.prepare,
                *([self._device_transforms.show, self.navigation.show] if self.may_draw else []),
                *([self._preview.show] if self.may_draw else []),
                self._poll_children,
            ]
        )
        return events

    poll = tick
    """A workspace is driven like its session, see `segmentation.wait`."""

    def close(self) -> None:
        """End the link, the engine and the children with everything they have started."""
        self.session.close()
        for child in self.children:
            child.end(END_TIMEOUT_S)
        self.children.clear()

    def note(self, text: str) -> None:
        """Add a line to the log."""
        text = text if len(text) <= LOG_CHARACTERS else f"{text[:LOG_CHARACTERS]} ..."
        logger.info("%s", text)
        self.log.append(f"{time.strftime('%H:%M:%S')} {text}")

    def _know_model(self) -> None:
        self.models[self.session.model.sha256] = self.session.model
        self.lesion_store.model_sha256 = self.session.model.sha256
        self.calibrations[self.session.model.sha256] = self.background_refinement.calibration

    def _note_memory(self, text: str) -> None:
        self._limited_memory(logging.INFO, text)

    def _limited_note(self) -> LimitedLog:
        return LimitedLog(lambda level, text: self.note(text), LINK_LINES, LINK_LINES_PER_S, self._clock)

    def _handle(self, event: Event) -> None:
        if isinstance(event, (LinkChanged, ModelReady, Refused, Noticed)):
            self.events.emit(event)
        if isinstance(event, TransformArrived):
            self.message_rate.note()
            self._receive_transform(event.message)
        elif isinstance(event, ImageArrived):
            self.message_rate.note()
            self.devices.setdefault(event.device, "image")
        elif isinstance(event, VolumeArrived):
            self._show_arrived_volume(event)
        elif isinstance(event, DeviceForgotten):
            self._forget_device(event)
        elif isinstance(event, LinkChanged):
            self._note_link(logging.INFO, f"link {event.state.value} {event.reason}".rstrip())
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
            self._style_outlines()
        elif isinstance(event, LesionFailed):
            self._handle_failure(event)
        elif isinstance(event, Refused):
            self.note(f"'{event.device}' cannot be used: {event.reason}" if event.device else event.reason)
        elif isinstance(event, Noticed):
            self.note(f"'{event.device}': {event.reason}" if event.device else event.reason)

    def _show_arrived_volume(self, event: VolumeArrived) -> None:
        volume = event.volume
        node = show_volume(self.scene, volume, volume.device)
        mark_as_from_link(node)
        if node.GetParentTransformNode() is not None:
            put_under(node, None)
            self.note(f"'{volume.device}' was taken out of its transform: what comes over the link is in its place")
        self.message_rate.note()
        self.devices[volume.device] = "volume"
        self._note_volume(logging.INFO, f"volume {volume.identity} received in {event.receive_s:.2f} s")
        if volume is not self.session.volume:
            self.lesion_store.refresh_staleness()
            return
        if node is not self.volume.node:
            self._leave_volume()
        self.volume.use(node, volume)
        self._volume_link = ref(self.session.link) if self.session.link else None
        self.resegmentation.note_volume(volume.identity)
        self.lesion_store.adopt()
        self._style_outlines()
        self.lesion_store.refresh_staleness()

    def _forget_device(self, event: DeviceForgotten) -> None:
        """Remove a silent device and its volume, unless that is in use, shown, or has lesions."""
        if event.kind == TRANSFORM:
            self.navigation.forget(event.device)
            self._device_transforms.forget(event.device)
            return
        if self.devices.get(event.device) == event.kind:
            del self.devices[event.device]
        node = find_node(self.scene, VOLUME_CLASS, event.device) if event.kind == VOLUME else None
        if node is None or node is self.volume.node:
            return
        if not is_used_elsewhere(node) and not self.lesion_store.has_segmentations_in(node):
            self._note_memory(f"'{node.GetName()}' was taken out of the scene: too many other devices have sent since")
            remove_node(self.scene, node)

    def _receive_transform(self, message: TransformMessage) -> None:
        """Receive a pose; navigation measures with it in this turn, the scene shows it when the views have time."""
        self.devices[message.device] = TRANSFORM
        self.navigation.receive(message)
        fault = self.navigation.navigator.poses.fault_of(message.device)
        if fault is not None:
            text = f"{fault}: its transform stays where it was, and nothing is placed by it; check its calibration"
            self.session.problems.note_once(DropReason.NOT_RIGID, message.device, text)
        self._device_transforms.receive(message, fault is not None)

    def _forget_transform(self, device: str) -> None:
        if self.devices.get(device) == TRANSFORM:
            del self.devices[device]

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
        node = self.volume.node
        if self.volume.is_lost:
            self.session.cancel()
            self._leave_volume()
            self.volume.leave()
            self.note("the volume was removed from the scene")
        elif node is not None and self.volume.notice_change():
            self.note(f"'{node.GetName()}' has changed; its segmentations are out of date")
            self.lesion_store.refresh_staleness()
        else:
            self._update_place()

    def _update_place(self) -> None:
        try:
            self.volume.notice_move()
        except CrlmError as error:
            self.note(f"{error}; its segmentations are out of date")
            self.lesion_store.refresh_staleness()

    def _remove_leftovers(self) -> None:
        """Remove display and storage nodes of deleted nodes, after nodes have been added or removed."""
        if self._nodes_seen != _nodes_of(self.scene):
            remove_leftovers(self.scene)
            self._nodes_seen = _nodes_of(self.scene)

    def _style_outlines(self) -> None:
        """Show the segmentation of the current volume as wanted; once, so that a user may change it in the scene."""
        node = self.lesion_store.segmentation_node
        display = node.GetDisplayNode() if node else None
        if display is not None and self._outline_style is not None and display.GetID() != self._styled_id:
            opacity, outline_only = self._outline_style
            display.SetOpacity3D(opacity)
            display.SetVisibility2DFill(not outline_only)
            self._styled_id = display.GetID()

    def _update_crop_box(self) -> None:
        entry = self.lesion_store.entries.get(self.lesion_store.active_lesion or "")
        if self.sees_whole_volume:
            self._crop.hide()
        else:
            self.crop_size_mm = self._crop.update(self.crop_size_mm, entry.seed_ras_mm if entry else None)

    def _segment_settled(self) -> None:
        now_s = self._clock()
        if self.volume.node is None:
            return
        for lesion, entry in self.lesion_store.entries.items():
            has_settled = entry.seed_ras_mm is not None and now_s - entry.moved_at_s >= SETTLE_S
            if has_settled and not entry.is_asked:
                self._segment_or_fail(lesion, entry)

    def _segment_or_fail(self, lesion: str, entry: Lesion) -> None:
        """Request a lesion that nobody has clicked for; if that fails, its row says why."""
        try:
            self.segment([lesion])
        except CrlmError as error:
            entry.is_asked = True
            self.results.fail(lesion, str(error))

    def _segment_again(self) -> None:
        """Request what nobody has clicked for: a lesion in a newer volume, or background refinement."""
        lesion = self.resegmentation.next_lesion()
        entry = self.lesion_store.entries.get(lesion or "")
        if lesion is not None and entry is not None and entry.seed_ras_mm is not None:
            self._ask_for(lesion, entry.seed_ras_mm, _sufficient_mm(entry))
        self.background_refinement.update(self.volume.arrived_s)

    def _ask_for_preview(self) -> None:
        self._preview.update(self.crop_size_mm, self.auto_segment and not self.sees_whole_volume)

    def _update_lesions(self) -> None:
        self.lesion_store.update()

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
            self._note_unplaced(logging.WARNING, f"no distances: {error}")
        self.navigation.update(targets)

    def _poll_children(self) -> None:
        for child in self.children:
            child.read_stderr()
        for child in [child for child in self.children if child.exit_code is not None]:
            if child.exit_code != 0:
                self.note(f"the page of the report was not written: {child.stderr_tail}")
            child.release()
            self.children.remove(child)

    def _ask_for(self, lesion: str, seed_ras_mm: np.ndarray, automatic_mm: float | None = None) -> None:
        """Request the segmentation of a lesion.

        Args:
            automatic_mm: nobody has clicked; at least so large a crop is needed.
        """
        entry = self.lesion_store.entries.setdefault(lesion, Lesion())
        entry.is_asked, entry.is_automatic, entry.asked_at_s = True, automatic_mm is not None, self._clock()
        entry.stage, entry.done, entry.total = "", 0, 0
        size_mm = None if self.sees_whole_volume else max(self.crop_size_mm, automatic_mm or 0.0)
        self.events.emit(self.request_of(lesion, seed_ras_mm))
        entry.refinement = LesionRefinement()
        entry.asked_in = self.volume.identity or entry.asked_in
        try:
            first_fold_only = self.background_refinement.enabled and not self.mirroring
            self.session.segment(lesion, seed_ras_mm, Options(size_mm, self.mirroring, first_fold_only))
            entry.state, entry.reason = LesionState.WAITING, ""
        except CrlmError as error:
            self.results.fail(lesion, str(error))


def _is_drawn_at_once(event: Event) -> bool:
    """Return whether an event is not to wait for the views; a preview is, lest it take time from what moves."""
    if isinstance(event, LesionSegmented):
        return event.result.request.purpose is not Purpose.PREVIEW
    return isinstance(event, VolumeArrived)


def _nodes_of(scene: slicer.vtkMRMLScene) -> tuple[int, str]:
    """Return a value that changes when nodes are added or removed; reading all nodes would take 0.5 ms."""
    count = scene.GetNumberOfNodes()
    return count, scene.GetNthNode(count - 1).GetID() if count else ""


def _sufficient_mm(entry: Lesion) -> float:
    """Return the crop size that was large enough last time, mm; 0 where that is not known."""
    request = entry.segmentation.result.request if entry.segmentation and entry.segmentation.result else None
    return (request.options.crop_size_mm if request else None) or 0.0
