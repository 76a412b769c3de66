"""Conventions of programs that speak OpenIGTLink, where the standard leaves them open. Read in their sources:

PLUS: PlusLib 112a7f3. Slicer: SlicerOpenIGTLink d090ca4 on OpenIGTLinkIO d7f6aef. CustusX 8a9561f.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from ..core.errors import LinkError
from .messages import PatientFrame


class ClientOptions(TypedDict):
    """Options for `IgtlClient(host, port, **dialect.client_options)`."""

    frame: PatientFrame
    introduce: bool


class ServerOptions(TypedDict):
    """Options for `IgtlServer(host, port, **dialect.server_options)`."""

    frame: PatientFrame


@dataclass(frozen=True)
class Dialect:
    """Conventions of one program.

    Attributes:
        name: as it is chosen on the command line.
        title: as it is shown to users.
        frame: patient frame of its coordinates in all types of message; only IMAGE carries a flag for it.
        introduce: whether to show it header version 2 on connecting. Some programs send metadata, and with it the
            status of transforms, only to clients that did so. To the others nothing is sent: a server built on the
            1.x library cannot read version 2, nor what follows it.
    """

    name: str
    title: str
    frame: PatientFrame
    introduce: bool

    @property
    def client_options(self) -> ClientOptions:
        """Options of a client that receives from this program."""
        return ClientOptions(frame=self.frame, introduce=self.introduce)

    @property
    def server_options(self) -> ServerOptions:
        """Options of a server that this program connects to; the server detects the header version by itself."""
        return ServerOptions(frame=self.frame)


PLUS = Dialect(
    name="plus",
    title="PLUS",
    # The matrix goes out as it is calculated, in Reference (vtkPlusIgtlMessageCommon::PackImageMessage); the flag of
    # an image is neither set nor read.
    frame=PatientFrame.RAS,
    # A client is answered in the highest version that it has sent (vtkPlusOpenIGTLinkServer, ClientHeaderVersion).
    introduce=True,
)
SLICER = Dialect(
    name="slicer",
    title="3D Slicer with SlicerOpenIGTLink",
    # IJK to RAS, whatever the flag: igtlioImageConverter neither reads nor sets it.
    frame=PatientFrame.RAS,
    # It shows version 2 itself on connecting (vtkMRMLIGTLConnectorNode), and sends metadata in any case.
    introduce=True,
)
CUSTUSX = Dialect(
    name="custusx",
    title="CustusX",
    # Images go out in LPS with the flag set (GrabberSenderQTcpSocket: encode(msg, pcsLPS)). LPS is what it counts in,
    # so poses and surfaces are taken for LPS too. It sends neither by itself: transforms are only received, and taken
    # as they are (NetworkHandler); surfaces have no flag, and its own IGTLinkConversionPolyData turns them into the
    # frame that the caller names, for Slicer into RAS.
    # The flag of an image that it gets is read by IGTLinkConversionImage::decode_rMd, not by its live view.
    frame=PatientFrame.LPS,
    introduce=False,  # it sends no metadata to anyone
)
DIALECTS = {dialect.name: dialect for dialect in (PLUS, SLICER, CUSTUSX)}


def dialect_named(name: str) -> Dialect:
    """Return the conventions of a program.

    Raises:
        LinkError: no program of that name is known.
    """
    try:
        return DIALECTS[name.lower()]
    except KeyError:
        raise LinkError(f"no conventions are known for '{name}'; choose one of {', '.join(DIALECTS)}") from None
