"""The conventions of the programs at the other end, from their names to the bytes."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import LinkError
from CRLMSegmentationLib.igtl.client import IgtlClient
from CRLMSegmentationLib.igtl.dialects import CUSTUSX, DIALECTS, PLUS, SLICER, Dialect, dialect_named
from CRLMSegmentationLib.igtl.messages import PatientFrame
from CRLMSegmentationLib.igtl.packing import pack
from CRLMSegmentationLib.igtl.server import IgtlServer
from helpers.igtl_links import OBLIQUE_LEFT_HANDED, Link, image


def test_peers_are_known_by_name() -> None:
    assert [dialect_named(name) for name in ("plus", "Slicer", "CUSTUSX")] == [PLUS, SLICER, CUSTUSX]
    with pytest.raises(LinkError, match="choose one of plus, slicer, custusx"):
        dialect_named("brainlab")


@pytest.mark.parametrize("peer", DIALECTS.values(), ids=list(DIALECTS))
def test_volume_between_our_ends_under_the_conventions_of_a_peer(peer: Dialect) -> None:
    with IgtlServer(**peer.server_options) as server:
        link = Link(server)
        client = link.client(**peer.client_options)
        server.broadcast(image(device="liveReconstruction_Liver"))
        (got,) = link.receive(client)
        client.close()
    np.testing.assert_allclose(got.ijk_to_ras, OBLIQUE_LEFT_HANDED, atol=2e-5)
    assert got.labelled_frame is peer.frame
    assert got.device == ("liveReconstruction_Liver" if peer.introduce else "liveReconstruction_L")


def test_custusx_is_read_as_lps_and_the_others_as_ras() -> None:
    assert {name: peer.frame for name, peer in DIALECTS.items()} == {
        "plus": PatientFrame.RAS,
        "slicer": PatientFrame.RAS,
        "custusx": PatientFrame.LPS,
    }


@pytest.mark.parametrize("peer", DIALECTS.values(), ids=list(DIALECTS))
def test_flag_of_what_is_sent_is_never_wrong(peer: Dialect) -> None:
    """Those who look at it and those who do not place the image alike."""
    flag_at = 58 + 5
    assert (
        pack(image(), frame=peer.server_options["frame"])[flag_at]
        == {PatientFrame.RAS: 1, PatientFrame.LPS: 2}[peer.frame]
    )


def test_client_of_a_peer_is_made_without_a_connection() -> None:
    with IgtlClient("127.0.0.1", 1, **CUSTUSX.client_options) as client:
        assert client.frame is PatientFrame.LPS
