"""The transforms of tracked devices: the newest pose of each, and its node in the scene."""

from __future__ import annotations

from collections.abc import Callable

import slicer

from ...igtl.messages import TransformMessage
from ..scene.instruments import CLASS, NOT_A_POSE, show_transform
from ..scene.nodes import find_node, is_referred_to, remove_node

MAX_NODES = 512
"""That links have made, one after the other: each may send as many other names."""
NEW_NODES_PER_TURN = 2
"""So that the turn in which tracking begins takes no longer than others."""


class DeviceTransforms:
    """Keeps the poses that have come since the scene was written, of each device the newest.

    Attributes:
        on_forgotten: is called with the name of each device whose node is given up.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, on_forgotten: Callable[[str], object]) -> None:
        self._scene, self.on_forgotten = scene, on_forgotten
        self._pending: dict[str, tuple[TransformMessage, bool]] = {}
        self._nodes: dict[str, None] = {}

    def receive(self, message: TransformMessage, has_fault: bool) -> None:
        """Keep a pose that has just come, in place of the device's older one.

        Args:
            has_fault: its matrix is none of a rigid body, so that the node stays where it is.
        """
        self._pending.pop(message.device, None)
        self._pending[message.device] = message, has_fault

    def show(self) -> None:
        """Write the poses into the scene; where many devices are new, some wait for the next turns."""
        pending, self._pending = self._pending, {}
        new = [device for device in pending if device not in self._nodes]
        for device in new[:-NEW_NODES_PER_TURN]:
            self._pending[device] = pending.pop(device)
        for device, (message, has_fault) in pending.items():
            self._nodes.pop(device, None)
            self._nodes[device] = None
            show_transform(self._scene, device, message.matrix, NOT_A_POSE if has_fault else message.status)
        for device in list(self._nodes)[:-MAX_NODES]:
            self.forget(device)

    def leave_link(self) -> None:
        """Drop the poses that were not written yet, for the source is another; the nodes stay where they are."""
        self._pending.clear()

    def forget(self, device: str) -> None:
        """Remove a silent device and its transform, unless another node refers to it."""
        self._pending.pop(device, None)
        self._nodes.pop(device, None)
        self.on_forgotten(device)
        node = find_node(self._scene, CLASS, device)
        if node is not None and not is_referred_to(node):
            remove_node(self._scene, node)
