"""The source of volumes: a server, a recording, a connector of OpenIGTLinkIF, or the scene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import slicer

from ...core.errors import CrlmError, LinkError
from ...core.i18n import tr as _
from ...recording.case import Case
from ...recording.recorded_link import RecordedLink
from ...recording.timeline import load_source
from ..dependencies import missing
from ..scene.volumes import ContentStamp, content_stamp
from .workspace import Workspace

if TYPE_CHECKING:  # need pyigtl, which Slicer may lack
    from ...igtl.live_reconstruction import LiveReconstruction
    from .workspace_recorder import WorkspaceRecorder


class VolumeSource:
    """Chooses the source of the volumes of a workspace, one at a time.

    Args:
        recorder: gets what comes over a network as it came; None records nothing.

    Attributes:
        recorded_link: the recorded case that is played, or None.
        live: the server's link, which can ask for live volumes, or None.
    """

    def __init__(self, workspace: Workspace, recorder: WorkspaceRecorder | None = None) -> None:
        self._workspace, self._recorder = workspace, recorder
        self.recorded_link: RecordedLink | None = None
        self.live: LiveReconstruction | None = None
        self._recording_path: Path | None = None
        self._connector_id: str | None = None
        self._refused: tuple[str, ContentStamp] | None = None
        self._noted_reason = ""

    @property
    def is_network(self) -> bool:
        """Whether the source is a server, connected or not."""
        return self._workspace.session.link is not None and self.recorded_link is None

    @property
    def connector(self) -> slicer.vtkMRMLNode | None:
        """The vtkMRMLIGTLConnectorNode that is the source, or None."""
        return self._workspace.scene.GetNodeByID(self._connector_id) if self._connector_id else None

    def connect(self, host: str, port: int) -> None:
        """Receive from a server; the client connects again by itself.

        Raises:
            LinkError: pyigtl is missing, or the port is no port.
        """
        absent = [package.requirement for package in missing("connect")]
        if absent:
            raise LinkError(_("{names} is missing; press Install").format(names=", ".join(absent)))
        from ...igtl.client import IgtlClient
        from ...igtl.live_reconstruction import LiveReconstruction

        recorded = self._recorder
        on_message = recorded.on_message if recorded is not None else None
        link = LiveReconstruction(
            IgtlClient(host, port, on_message=on_message, refusal=self._workspace.memory.refusal_of)
        )
        self.stop()
        if recorded is not None:
            recorded.use_link(host, port)
        self._workspace.use_link(link)
        self.live = link

    def connect_or_disconnect(self, host: str, port: int) -> None:
        """Disconnect from the server; without one, connect.

        Raises:
            LinkError: see `connect`.
        """
        if self.is_network:
            self.stop()
        else:
            self.connect(host, port)

    def start_or_stop_live(self) -> None:
        """Have the server reconstruct volumes while the probe moves, or no longer.

        Raises:
            LinkError: no server is connected.
        """
        if self.live is None:
            raise LinkError(_("volumes are reconstructed by a PLUS server; connect to one first"))
        if self.live.is_wanted:
            self.live.stop()
        else:
            self.live.start()

    def stop(self) -> None:
        """Receive nothing more; what was received stays."""
        self.recorded_link, self._recording_path, self._connector_id, self.live = None, None, None, None
        self._set_simulated(None)
        self._workspace.use_link(None)

    def play_or_pause(self, path: Path, speed: float) -> None:
        """Play a recording from its beginning, pause it, or go on.

        Raises:
            CaseError, VolumeError, GeometryError: it is no recording, or damaged.
        """
        if self.recorded_link is None or path != self._recording_path:
            source = load_source(path)
            recording = RecordedLink(source, speed)
            self.stop()
            self._set_simulated(_is_simulated(source))
            self._workspace.use_link(recording)
            self.recorded_link, self._recording_path = recording, path
            if not recording.has_volumes:
                self._workspace.note(_("This recording holds no volume, only poses and single images"))
        elif self.recorded_link.is_playing:
            self.recorded_link.pause()
        else:
            self.recorded_link.play()

    def use_node(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Segment in a volume of the scene."""
        self.stop()
        self._workspace.use_node(node)

    def use_connector(self, node: slicer.vtkMRMLNode | None) -> None:
        """Segment in what a vtkMRMLIGTLConnectorNode receives; None for none, which leaves other sources alone."""
        if node is not None:
            self.stop()
        self._connector_id = node.GetID() if node is not None else None

    def update(self) -> None:
        """Use the volume that the connector has written last, and log why a server sends no live volumes.

        Call it at each turn.
        """
        self._follow_connector()
        reason = self.live.live_reason if self.live is not None else ""
        if reason and reason != self._noted_reason:
            self._workspace.note(reason)
        self._noted_reason = reason

    def _set_simulated(self, is_simulated: bool | None) -> None:
        if self._recorder is not None:
            self._recorder.use_source(is_simulated)

    def _follow_connector(self) -> None:
        connector = self.connector
        if connector is None:
            self._connector_id = None
            return
        count = connector.GetNumberOfIncomingMRMLNodes()
        nodes = [connector.GetIncomingMRMLNode(index) for index in range(count)]
        followed = self._workspace.session.followed_device
        volumes = [node for node in nodes if node is not None and _is_volume(node)]
        self._workspace.link_devices.kinds = {node.GetName(): "volume" for node in volumes}
        wanted = [node for node in volumes if followed in (None, node.GetName())]
        newest = max(wanted, key=lambda node: node.GetImageData().GetMTime(), default=None)
        if newest is not None and newest is not self._workspace.volume.node:
            self._use(newest)

    def _use(self, node: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Use what the connector has written; what cannot be used is logged once."""
        stamp = (node.GetID(), content_stamp(node))
        if stamp == self._refused:
            return
        try:
            self._workspace.use_node(node)
        except CrlmError as error:
            self._refused = stamp
            self._workspace.note(str(error))


def _is_simulated(source: object) -> bool | None:
    """Return whether a recorded case is simulated; None where it does not say."""
    kind = source.source.get("kind") if isinstance(source, Case) else None
    return None if kind is None else kind == "simulated"


def _is_volume(node: slicer.vtkMRMLNode) -> bool:
    """Return whether a node is a 3D grey volume; the live image of a scanner is a single slice, or in colour."""
    image = node.GetImageData() if node.IsA("vtkMRMLScalarVolumeNode") else None
    return image is not None and image.GetNumberOfScalarComponents() == 1 and min(image.GetDimensions()) > 1
