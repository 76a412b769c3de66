"""Errors that a user may meet. Each message says what was wrong and what to do next."""

from __future__ import annotations


class CrlmError(Exception):
    """Base of every error that this project raises on purpose."""


class GeometryError(CrlmError):
    """A matrix, spacing or size that no physical volume can have."""


class VolumeError(CrlmError):
    """Voxels that cannot be segmented: NaN, colour, a single slice, a file that is no volume."""


class SeedError(CrlmError):
    """A seed outside the volume or where the probe never swept."""


class SweepError(CrlmError):
    """A tracked sweep or its calibration that cannot be used."""


class CaseError(CrlmError):
    """A case folder that is incomplete, damaged or of an unknown version."""


class ModelError(CrlmError):
    """A model package that is incomplete, damaged or not usable."""


class UnclearChannelsError(ModelError):
    """A network with several channels, of which nobody has said what they are."""


class LinkError(CrlmError):
    """An OpenIGTLink connection that cannot be made or kept."""


class MessageError(LinkError):
    """One OpenIGTLink message that cannot be packed or unpacked."""


class WorkerError(CrlmError):
    """The inference process failed, died or was given something it cannot do."""
