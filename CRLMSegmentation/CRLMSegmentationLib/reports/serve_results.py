"""Serves the lesions of a volume file to other systems over OpenIGTLink."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..igtl.server import IgtlServer
from ..segmentation.results import LesionResult
from ..tracking.surfaces import surface_of_mask, triangles_of
from .igtl_results import ResultServer, SharedLesion


def serve_results(
    results: Sequence[LesionResult],
    port: int,
    host: str = "127.0.0.1",
    on_listening: Callable[[str], None] = lambda text: None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Serve the lesions of one volume.

    Raises:
        LinkError: the port cannot be had.
    """
    server = ResultServer(IgtlServer(host, port))
    try:
        server.publish([_shared(result) for result in results], results[0].volume)
        on_listening(f"results are offered on {server.server.host} port {server.server.port}; Ctrl-C ends")
        server.serve_until(stop)
    finally:
        server.close()


def _shared(result: LesionResult) -> SharedLesion:
    mask, request = result.mask, result.request
    about = {"volume_ml": mask.volume_ml, "diameters_mm": mask.diameters_mm, "warnings": mask.warnings}
    if mask.is_empty:
        return SharedLesion(request.lesion, request.seed_ras_mm, about=about)
    surface = triangles_of(surface_of_mask(mask.mask, result.volume.ijk_to_ras))
    return SharedLesion(request.lesion, request.seed_ras_mm, mask.part, mask.offset_kji, surface, about)
