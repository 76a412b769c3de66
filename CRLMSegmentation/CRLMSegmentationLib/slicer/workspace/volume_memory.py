"""How much memory volumes may take together: those shown in the scene, those segmented in, and those being received.

Each volume is bounded by what a message may hold; twelve devices with a volume each are not. Before memory is taken
for one more, the oldest that nobody uses are let go, and where that is not enough the new one is refused:

1. voxels of volumes that are only known because a segmentation that is out of date was found in them;
2. volumes in the scene that came over a link, unless they are current, followed, or used by any other node, such as
   a slice view, a parameter node or a volume rendering.

What was loaded by other means is not touched, nor counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import slicer

from ...core.i18n import tr as _
from ...core.machine_memory import machine_memory_bytes
from ...core.volume import Volume
from ...igtl.messages import MAX_NAME_BYTES
from ...segmentation.session import Session
from ..scene.nodes import KEY, find_node, remove_node
from ..scene.volumes import CLASS as VOLUME_CLASS
from ..scene.volumes import is_used_elsewhere, link_volumes, size_bytes
from .current_volume import CurrentVolume
from .lesion_store import LesionStore

SHARE_OF_MACHINE = 0.5
"""The rest is for 3D Slicer, what else it has open, the network and the system."""
FALLBACK_BYTES = 4e9
"""Where a machine does not say how much memory it has."""
MAX_LINK_VOLUMES = 64
"""Nodes of the scene that links have made; another server on each connection may send other names."""


def default_limit_bytes() -> float:
    """Return half of the memory that this process may use."""
    known = machine_memory_bytes()
    return FALLBACK_BYTES if known is None else SHARE_OF_MACHINE * known


class VolumeMemory:
    """Limits the memory of all volumes of a workspace together.

    Args:
        note: adds a line to the log.

    Attributes:
        limit_bytes: of all volumes together; may be changed at any time and holds for what comes then.
        notice: what was let go or refused last, for people; empty before that.
    """

    def __init__(
        self,
        scene: slicer.vtkMRMLScene,
        session: Session,
        volume: CurrentVolume,
        lesion_store: LesionStore,
        note: Callable[[str], None],
    ) -> None:
        self._scene, self._session, self._volume, self._lesion_store, self._note = (
            scene,
            session,
            volume,
            lesion_store,
            note,
        )
        self.limit_bytes = default_limit_bytes()
        self.notice = ""
        self._arrivals: dict[str, int] = {}
        self._arrived, self._set_gb = 0, 0.0

    def set_limit_gb(self, limit_gb: float) -> None:
        """Set the limit as the panel does, in GB; 0 for the default."""
        if limit_gb != self._set_gb:
            self._set_gb = limit_gb
            self.limit_bytes = 1e9 * limit_gb if limit_gb else default_limit_bytes()

    @property
    def used_bytes(self) -> int:
        """Bytes of volumes received over a link, of those that are segmented, and of a recording."""
        nodes = sum(size_bytes(node) for node in link_volumes(self._scene))
        arrays = {id(volume.array): volume for volume in self._held() if volume.has_voxels}
        return nodes + sum(volume.array.nbytes for volume in arrays.values()) + self._recorded_bytes

    @property
    def _recorded_bytes(self) -> int:
        """Bytes of the volumes that a recording in play holds."""
        return getattr(self._session.link, "memory_bytes", 0)

    def refusal_of(self, device: str, volume_bytes: int) -> str:
        """Free memory for a volume that a link is about to receive; returns why it cannot be received.

        Args:
            device: as a header names it, which cuts the name to `MAX_NAME_BYTES`.
            volume_bytes: of its voxels; they are needed twice, once for the network and once for the scene.

        Returns:
            Why it cannot be taken; empty where it can.
        """
        node = find_node(self._scene, VOLUME_CLASS, device)
        if (
            node is None and len(device.encode()) >= MAX_NAME_BYTES
        ):  # the largest it may be: asked again once it is read
            ours = [node for node in link_volumes(self._scene) if (node.GetAttribute(KEY) or "").startswith(device)]
            node = max(ours, key=size_bytes, default=None)
        return self._refusal_of(device if node is None else node.GetAttribute(KEY), node, volume_bytes)

    def _refusal_of(self, device: str, node: slicer.vtkMRMLScalarVolumeNode | None, volume_bytes: int) -> str:
        """Args: node: that holds its volume before; None where there is none."""
        needed = volume_bytes + max(0, volume_bytes - (size_bytes(node) if node is not None else 0))
        if self.used_bytes + needed > self.limit_bytes:
            self._let_go_voxels(needed)
        self._let_go_nodes(device, needed)
        if self.used_bytes + needed <= self.limit_bytes:
            return ""
        text = _(
            "a volume of {size} was not loaded: volumes take {used} of {limit}, and no other can be removed; "
            "delete volumes that are not needed, or raise 'Memory for volumes'"
        )
        self.notice = text.format(size=_size(volume_bytes), used=_size(self.used_bytes), limit=_size(self.limit_bytes))
        return self.notice

    def refusal_of_volume(self, volume: Volume) -> str:
        """Free memory for a volume that was received; returns why it cannot be kept, else empty."""
        doubled = 2 if volume.array.dtype.itemsize == 2 and volume.array.dtype.kind == "f" else 1
        self._arrived += 1
        self._arrivals.pop(volume.device, None)
        self._arrivals[volume.device] = self._arrived
        for device in list(self._arrivals)[:-MAX_LINK_VOLUMES]:
            del self._arrivals[device]
        node = find_node(self._scene, VOLUME_CLASS, volume.device)
        return self._refusal_of(volume.device, node, doubled * volume.array.nbytes)

    def _held(self) -> Iterable[Volume]:
        current = self._session.volume
        yield from [current] if current is not None else []
        yield from self._session.volumes_at_work
        for entry in self._lesion_store.entries.values():
            if entry.segmentation is not None and entry.segmentation.result is not None:
                yield entry.segmentation.result.volume

    def _let_go_voxels(self, needed: float) -> None:
        """Release voxels of volumes in which only outdated segmentations were found; the segmentations stay."""
        for lesion, entry in self._lesion_store.entries.items():
            found, current = entry.segmentation, self._session.volume
            if found is None or found.result is None or not entry.is_stale:
                continue
            volume = found.result.volume
            if not volume.has_voxels or (current is not None and volume.array is current.array):
                continue
            if self.used_bytes + needed <= self.limit_bytes:
                return
            entry.segmentation = replace(
                found, result=replace(found.result, volume=self._volume.without_voxels(volume))
            )
            self._report(_("{lesion}: the voxels of its earlier volume were removed from memory").format(lesion=lesion))

    def _let_go_nodes(self, device: str, needed: float) -> None:
        """Remove unused volumes that links have brought, the oldest first."""
        is_one_more = find_node(self._scene, VOLUME_CLASS, device) is None
        for node in self._unused(device):
            are_too_many = len(link_volumes(self._scene)) + is_one_more > MAX_LINK_VOLUMES
            if self.used_bytes + needed <= self.limit_bytes and not are_too_many:
                return
            name, size = node.GetName(), size_bytes(node)
            remove_node(self._scene, node)
            text = _("'{name}' of {size} was taken out of the scene: volumes may take {limit}, and nothing uses it")
            self._report(text.format(name=name, size=_size(size), limit=_size(self.limit_bytes)))

    def _unused(self, device: str) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """List unused volumes of links, the oldest first, those with segmentations last."""
        current, kept = self._volume.node, (device, self._session.device_in_use)
        unused = [
            node
            for node in link_volumes(self._scene)
            if node is not current and node.GetAttribute(KEY) not in kept and not is_used_elsewhere(node)
        ]
        return sorted(unused, key=lambda node: (self._lesion_store.has_segmentations_in(node), self._arrival_of(node)))

    def _arrival_of(self, node: slicer.vtkMRMLScalarVolumeNode) -> int:
        return self._arrivals.get(node.GetAttribute(KEY), 0)

    def _report(self, text: str) -> None:
        self.notice = text
        self._note(text)


def memory_text(memory: VolumeMemory | None) -> str:
    """Describe how much memory volumes take, for the panel."""
    if memory is None:
        return ""
    text = _("Memory for volumes: {used} of {limit}")
    text = text.format(used=_size(memory.used_bytes), limit=_size(memory.limit_bytes))
    return f"{text}. {memory.notice}" if memory.notice else text


def _size(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
