"""Which volume of the scene is segmented, and whether it still holds what the session knows of it."""

from __future__ import annotations

from collections.abc import Callable

import slicer

from ..core.errors import VolumeError
from ..core.i18n import tr as _
from ..core.volume import Volume, VolumeIdentity
from ..scene.volumes import content_stamp, volume_from_node
from ..session import Session


class CurrentVolume:
    """Attributes: arrived_s: by the clock, when the volume came; None without one."""

    def __init__(self, scene: slicer.vtkMRMLScene, session: Session, clock: Callable[[], float]) -> None:
        self._scene, self._session, self._clock = scene, session, clock
        self._node_id: str | None = None
        self._stamp: tuple | None = None
        self.arrived_s: float | None = None

    @property
    def node(self) -> slicer.vtkMRMLScalarVolumeNode | None:
        """None when there was none, or when the user has deleted it."""
        return self._scene.GetNodeByID(self._node_id) if self._node_id else None

    @property
    def is_lost(self) -> bool:
        """The user has deleted it."""
        return self._node_id is not None and self.node is None

    @property
    def identity(self) -> VolumeIdentity | None:
        """What it holds; None while nobody knows."""
        volume = self._session.volume
        return volume.identity if volume is not None and self._stamp is not None else None

    def take(self, node: slicer.vtkMRMLScalarVolumeNode, volume: Volume | None = None) -> None:
        """Make a node the current one.

        Args:
            volume: what it holds, where the session has it already; otherwise it is read.

        Raises:
            VolumeError, GeometryError: it cannot be segmented.
        """
        if volume is None:
            self._session.use_volume(volume_from_node(node))
        self._node_id, self._stamp, self.arrived_s = node.GetID(), content_stamp(node), self._clock()

    def leave(self) -> None:
        self._node_id, self._stamp, self.arrived_s, self._session.volume = None, None, None, None

    def notice_change(self) -> bool:
        """Whether somebody has written into the node since it was taken; said once."""
        node = self.node
        if node is None or self._stamp is None or content_stamp(node) == self._stamp:
            return False
        self._stamp = None
        return True

    def read_again_if_changed(self) -> None:
        """Raises: VolumeError: there is none, or it can no longer be segmented."""
        node = self.node
        if node is None:
            raise VolumeError(_("there is no volume; connect to a source, open a case or choose a volume of the scene"))
        if self._stamp is None:
            self.take(node)
