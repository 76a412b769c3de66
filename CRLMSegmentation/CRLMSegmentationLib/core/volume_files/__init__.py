"""Volume files (NRRD, MetaImage, NIfTI), read and checked by this program itself.

The header decides before a voxel is read; the data must then be as long as the header says, whole, and alone.
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
