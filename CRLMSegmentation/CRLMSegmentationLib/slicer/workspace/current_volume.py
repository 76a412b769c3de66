"""The volume of the scene that is segmented; whether it was changed, moved or deleted since."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import slicer

from ...core.errors import GeometryError, VolumeError
from ...core.i18n import tr as _
from ...core.volume import Volume, VolumeIdentity
from ...segmentation.session import Session
from ..scene.nodes import local_to_world
from ..scene.volumes import ContentStamp, content_stamp, volume_from_node
from .events import Events, VolumeShown

REST_S = 0.3
"""A volume that has not been moved for so long lies still."""


class CurrentVolume:
    """The volume that is segmented in: its node, its voxels, and where it lies.

    Attributes:
        arrived_s: by the clock, when the volume came; None without one.
    """

    def __init__(
        self, scene: slicer.vtkMRMLScene, session: Session, clock: Callable[[], float], events: Events
    ) -> None:
        self._scene, self._session, self._clock, self._events = scene, session, clock, events
        self._node: slicer.vtkMRMLScalarVolumeNode | None = None
        self._stamp: ContentStamp | None = None
        self._places: WeakKeyDictionary[Volume, np.ndarray] = WeakKeyDictionary()
        self._moved_at_s = float("-inf")
        self.arrived_s: float | None = None

    @property
    def node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """The node; None before the first and when the user has deleted it."""
        node = self._node  # itself and not its ID, which another node gets once the scene has been cleared
        return node if node is not None and node.GetScene() is self._scene else None

    @property
    def is_lost(self) -> bool:
        """Whether the user has deleted the node."""
        return self._node is not None and self.node is None

    @property
    def identity(self) -> VolumeIdentity | None:
        """The identity of its content; None while that is not known."""
        volume = self._session.volume
        return volume.identity if volume is not None and self._stamp is not None else None

    @property
    def volume(self) -> Volume | None:
        """The volume as the session segments it."""
        return self._session.volume

    @property
    def is_at_rest(self) -> bool:
        """Whether no transform above it has just been moved."""
        return self._clock() - self._moved_at_s >= REST_S

    def use(self, node: slicer.vtkMRMLScalarVolumeNode, volume: Volume | None = None) -> None:
        """Make a node the current one.

        Args:
            volume: what it holds, where the session has it already; otherwise it is read.

        Raises:
            VolumeError, GeometryError: it cannot be segmented.
        """
        place = local_to_world(node)
        from_link = volume is not None
        if volume is None:
            volume = volume_from_node(node)
            self._session.use_volume(volume)
        self._places[volume] = place
        self._node, self._stamp, self.arrived_s = node, content_stamp(node), self._clock()
        self._events.emit(VolumeShown(volume, from_link))

    def leave(self) -> None:
        self._node, self._stamp, self.arrived_s, self._session.volume = None, None, None, None
        self._events.emit(VolumeShown(None))

    def place_of(self, volume: Volume) -> np.ndarray | None:
        """Return the 4x4 of the transforms above a volume when it was read, to world RAS mm; None if it never was."""
        return self._places.get(volume)

    def without_voxels(self, volume: Volume) -> Volume:
        """Return a volume without its voxels, which still says where it lay when it was read."""
        left, place = volume.without_voxels(), self.place_of(volume)
        if place is not None:
            self._places[left] = place
        return left

    def notice_change(self) -> str:
        """Return once what makes its segmentations be out of date: somebody has written voxels into the node since it
        was read, or no matrix can say any more where it lies. Where it was only moved, so is the session's volume.
        """
        node = self.node
        if node is not None and self._stamp is not None and content_stamp(node) != self._stamp:
            self._stamp = None
            return f"'{node.GetName()}' has changed"
        try:
            self.notice_move()
        except GeometryError as error:
            return str(error)
        return ""

    def notice_move(self) -> None:
        """Move the volume of the session to where the transforms above the node place it.

        Raises:
            GeometryError: no matrix can say where that is. The volume is unknown then, until it is read again.
        """
        node, volume = self.node, self._session.volume
        if node is None or volume is None or self._stamp is None:
            return
        try:
            place, before = local_to_world(node), self._places[volume]
            if np.array_equal(place, before):
                return
            moved = volume.moved_to(place @ np.linalg.inv(before) @ volume.ijk_to_ras)
        except GeometryError:
            self._stamp = None
            raise
        self._places[moved] = place
        self._session.move_volume(moved)
        self._events.emit(VolumeShown(moved))
        self._moved_at_s = self._clock()

    def read_again_if_changed(self) -> None:
        """Read the node again if somebody has written into it.

        Raises:
            VolumeError: there is none, or it can no longer be segmented.
        """
        node = self.node
        if node is None:
            raise VolumeError(_("there is no volume; connect to a source, open a case or choose a volume of the scene"))
        if self._stamp is None:
            self.use(node)
        self.notice_move()
