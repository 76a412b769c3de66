"""Reading of volume files (NRRD, MetaImage, NIfTI) with a check of every header field and of the data's length.

The header is checked before a voxel is read; the data must then be complete and exactly as long as it declares.
"""

from .files import (
    SEGMENTATION_SUFFIX,
    VOLUME_SUFFIXES,
    StoredVolume,
    data_files_of,
    is_hidden,
    read_header,
    read_stored_volume,
    volume_stem,
    volume_suffix,
)
from .segmentation import Segment, StoredSegmentation, is_segmentation, read_segmentation

__all__ = [
    "SEGMENTATION_SUFFIX",
    "VOLUME_SUFFIXES",
    "Segment",
    "StoredSegmentation",
    "StoredVolume",
    "data_files_of",
    "is_hidden",
    "is_segmentation",
    "read_header",
    "read_segmentation",
    "read_stored_volume",
    "volume_stem",
    "volume_suffix",
]
