"""Publishing of results to other systems on the network, while the user wants that."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...core.errors import LinkError
from ...core.i18n import tr as _
from ...core.volume import Volume
from ...reports.igtl_results import ResultServer, SharedLesion
from ...tracking.surfaces import surface_of_mask, triangles_of
from ..dependencies import missing
from ..scene.masks import mask_in_volume, mask_of_segment
from ..scene.nodes import local_to_world
from ..scene.seeds import seed_nodes, seeds_in
from .lesion import Lesion, LesionSegmentation
from .workspace import Workspace

FAREWELL_S = 0.5
"""How long a client may take over what is withdrawn, before the connection is closed."""


class Publisher:
    """Publishes results from `start` on: `update` sends what has changed and withdraws what is out of date."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._server: ResultServer | None = None
        self._published: tuple[object, ...] | None = None
        self._volume: Volume | None = None

    @property
    def port(self) -> int | None:
        """The port at which results are offered; None while they are not."""
        return self._server.server.port if self._server else None

    @property
    def clients(self) -> int:
        return len(self._server.server.clients) if self._server else 0

    def start(self, port: int, host: str = "127.0.0.1") -> None:
        """Offer results to clients from now on.

        Raises:
            LinkError: pyigtl is missing, or the port cannot be had.
        """
        absent = [package.requirement for package in missing("connect")]
        if absent:
            raise LinkError(_("{names} is missing; press Install").format(names=", ".join(absent)))
        from ...igtl.server import IgtlServer

        self.stop()
        self._server, self._published = ResultServer(IgtlServer(host, port)), None
        self._workspace.note(f"results are offered on {host} port {self.port}")

    def start_or_stop(self, port: int) -> None:
        """Offer results to clients, or stop that.

        Raises:
            LinkError: see `start`.
        """
        if self._server is None:
            self.start(port)
        else:
            self.stop()

    def stop(self) -> None:
        """Stop offering results, and withdraw those that were sent, which nobody would update."""
        if self._server is not None:
            if self._published is not None and self._volume is not None:
                self._server.publish([], self._volume)
                self._server.server.flush(FAREWELL_S)
            self._server.close()
            self._server = None
            self._workspace.note("results are no longer offered")

    def update(self) -> None:
        """Send what has changed since the last turn, and serve the clients."""
        if self._server is None:
            return
        # Without a volume that is known, what was found in the last one is withdrawn on its grid.
        known = self._workspace.volume.identity is not None
        self._volume = self._workspace.session.volume if known else self._volume
        what = self._what_holds()
        if self._volume is not None and what != self._published and self._workspace.volume.is_at_rest:
            self._published = what
            self._server.publish(self._lesions(self._volume) if known else [], self._volume)
        self._server.poll()

    def _what_holds(self) -> tuple[object, ...]:
        """Return a value that changes whenever something has to be sent; cheap."""
        seeds, lesion_store = seeds_in(self._workspace.scene), self._workspace.lesion_store
        lesions = [
            (lesion, found.fingerprint if (found := _current(entry)) else None, tuple(seeds.get(lesion, ())))
            for lesion, entry in lesion_store.entries.items()
        ]
        names = tuple(node.GetName() for node in seed_nodes(self._workspace.scene).values())
        return self._workspace.volume.identity, lesion_store.model_sha256, names, tuple(lesions)

    def _lesions(self, volume: Volume) -> list[SharedLesion]:
        seeds, nodes, rows = (
            seeds_in(self._workspace.scene),
            seed_nodes(self._workspace.scene),
            self._workspace.lesion_store.rows(),
        )
        shared = []
        for row in rows:
            entry, seed = self._workspace.lesion_store.entries[row.lesion], seeds.get(row.lesion)
            seed_ras_mm = None if seed is None else (float(seed[0]), float(seed[1]), float(seed[2]))
            lesion, found = SharedLesion(nodes[row.lesion].GetName(), seed_ras_mm), _current(entry)
            if found is not None:
                about = {"volume_ml": row.volume_ml, "diameters_mm": row.diameters_mm, "warnings": row.warnings}
                lesion = self._with_segmentation(replace(lesion, about=about), row.lesion, found, volume)
            shared.append(lesion)
        return shared

    def _with_segmentation(
        self, shared: SharedLesion, lesion: str, found: LesionSegmentation, volume: Volume
    ) -> SharedLesion:
        node = self._workspace.lesion_store.segmentation_node
        mask_of_lesion, ijk_to_local = mask_of_segment(node, lesion)
        surface = triangles_of(surface_of_mask(mask_of_lesion, local_to_world(node) @ ijk_to_local))
        if found.result is not None and not found.corrected and found.result.volume is volume:
            mask = found.result.mask
            return replace(shared, mask=mask.part, offset_kji=mask.offset_kji, surface=surface)
        world_to_local = np.linalg.inv(local_to_world(node))
        grid = replace(volume, ijk_to_ras=world_to_local @ volume.ijk_to_ras)
        return replace(shared, mask=mask_in_volume(node, lesion, grid), surface=surface)


def _current(lesion: Lesion) -> LesionSegmentation | None:
    """Return the segmentation of a lesion while it belongs to the volume and the seed that are shown."""
    return None if lesion.is_stale else lesion.segmentation
