"""The devices of the link: what has arrived of each, and its node in the scene."""

from __future__ import annotations

from collections.abc import Callable

import slicer

from ...core.volume import Volume
from ...igtl.messages import TransformMessage
from ...igtl.statistics import DropReason
from ...segmentation.incoming import IMAGE, TRANSFORM, VOLUME, DeviceForgotten
from ...segmentation.session import Session
from ..scene.nodes import find_node, put_under, remove_node
from ..scene.volumes import CLASS as VOLUME_CLASS
from ..scene.volumes import is_used_elsewhere, mark_as_from_link, show_volume
from .current_volume import CurrentVolume
from .device_transforms import DeviceTransforms
from .lesion_store import LesionStore
from .message_rate import MessageRate
from .navigation import Navigation


class LinkDevices:
    """Receives images, volumes and poses, and removes devices that have been silent for long.

    Args:
        note: adds a line to the log.
        note_removal: the same for volumes that are taken out of the scene.

    Attributes:
        kinds: what has arrived over the link, device name to "volume", "image" or "transform".
        message_rate: messages of the link.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        session: Session,
        volume: CurrentVolume,
        lesion_store: LesionStore,
        navigation: Navigation,
        clock: Callable[[], float],
        note: Callable[[str], None],
        note_removal: Callable[[str], None],
    ) -> None:
        self._scene, self._session, self._volume, self._lesion_store = scene, session, volume, lesion_store
        self._navigation, self._clock, self._note, self._note_removal = navigation, clock, note, note_removal
        self.kinds: dict[str, str] = {}
        self.message_rate = MessageRate(clock)
        self._transforms = DeviceTransforms(scene, self._forget_transform)

    def leave_link(self) -> None:
        """Begin with another link, or with none."""
        self.kinds, self.message_rate = {}, MessageRate(self._clock)
        self._transforms.leave_link()

    def node_of(self, device: str | None) -> slicer.vtkMRMLScalarVolumeNode | None:
        """Return the node of the volume of a device that has sent over this link; None without one."""
        return find_node(self._scene, VOLUME_CLASS, device) if device is not None and device in self.kinds else None

    def receive_image(self, device: str) -> None:
        """Note a 2D image; a device that has sent volumes stays one of volumes."""
        self.message_rate.note()
        self.kinds.setdefault(device, IMAGE)

    def receive_transform(self, message: TransformMessage) -> None:
        """Receive a pose; navigation measures with it in this turn, the scene shows it when the views have time."""
        self.message_rate.note()
        self.kinds[message.device] = TRANSFORM
        self._navigation.receive(message)
        fault = self._navigation.navigator.poses.fault_of(message.device)
        if fault is not None:
            text = f"{fault}: its transform stays where it was, and nothing is placed by it; check its calibration"
            self._session.problems.note_once(DropReason.NOT_RIGID, message.device, text)
        self._transforms.receive(message, fault is not None)

    def show_transforms(self) -> None:
        """Write the newest poses into the scene."""
        self._transforms.show()

    def show_volume(self, volume: Volume) -> slicer.vtkMRMLScalarVolumeNode:
        """Show a volume that has come, in place of the one before of its device; returns its node."""
        node = show_volume(self._scene, volume, volume.device)
        mark_as_from_link(node)
        if node.GetParentTransformNode() is not None:
            put_under(node, None)
            self._note(f"'{volume.device}' was taken out of its transform: what comes over the link is in its place")
        self.message_rate.note()
        self.kinds[volume.device] = VOLUME
        return node

    def forget(self, event: DeviceForgotten) -> None:
        """Remove a silent device and its volume, unless that is in use, shown, or has lesions."""
        if event.kind == TRANSFORM:
            self._navigation.forget(event.device)
            self._transforms.forget(event.device)
            return
        if self.kinds.get(event.device) == event.kind:
            del self.kinds[event.device]
        node = find_node(self._scene, VOLUME_CLASS, event.device) if event.kind == VOLUME else None
        if node is None or node is self._volume.node:
            return
        if not is_used_elsewhere(node) and not self._lesion_store.has_segmentations_in(node):
            self._note_removal(f"'{node.GetName()}' was taken out of the scene: too many other devices have sent since")
            remove_node(self._scene, node)

    def _forget_transform(self, device: str) -> None:
        if self.kinds.get(device) == TRANSFORM:
            del self.kinds[device]
