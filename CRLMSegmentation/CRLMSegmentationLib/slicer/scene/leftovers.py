"""Display and storage nodes that deleted nodes have left behind."""

from __future__ import annotations

import slicer

from .nodes import remove_leftovers


class Leftovers:
    """Removes the leftovers of a scene after nodes have been added or removed."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self._nodes_seen = (0, "")

    def update(self) -> None:
        """Remove what is left over, if the scene has other nodes than at the last turn."""
        if self._nodes_seen != self._nodes():
            remove_leftovers(self._scene)
            self._nodes_seen = self._nodes()

    def _nodes(self) -> tuple[int, str]:
        """Return a value that changes when nodes are added or removed; reading all nodes would take 0.5 ms."""
        count = self._scene.GetNumberOfNodes()
        return count, self._scene.GetNthNode(count - 1).GetID() if count else ""
