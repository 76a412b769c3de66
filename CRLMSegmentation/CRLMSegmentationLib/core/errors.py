"""Errors that are shown to a user. Each message says what was wrong and what to do next."""

from __future__ import annotations

import errno


class CrlmError(Exception):
    """Base of every error that this project raises on purpose."""


class GeometryError(CrlmError):
    """A matrix, a spacing or a size that no volume in space can have."""


class VolumeError(CrlmError):
    """Voxels that cannot be segmented, such as colour, a single slice, or a file that is no volume."""


class SeedError(CrlmError):
    """A seed or correction point outside the volume or in voxels never insonified, or points that contradict."""


class SweepError(CrlmError):
    """A tracked sweep or its calibration that cannot be used."""


class CaseError(CrlmError):
    """A case folder that is incomplete, damaged or of an unknown version."""


class ModelError(CrlmError):
    """A model package that is incomplete, damaged or not usable."""


class UnclearChannelsError(ModelError):
    """A network with several input channels whose meaning was not given.

    Args:
        count: number of the channels.
    """

    def __init__(self, text: str, count: int) -> None:
        super().__init__(text)
        self.count = count


class JsonError(CrlmError):
    """JSON that cannot be used: damaged, in another encoding, too large, nested too deep, or with invalid values."""


class LinkError(CrlmError):
    """An OpenIGTLink connection that cannot be made or kept."""


class MessageError(LinkError):
    """One OpenIGTLink message that cannot be packed or unpacked."""


class WorkerError(CrlmError):
    """The inference process failed, ended unexpectedly, or was given a job that it cannot do."""


class ServerError(CrlmError):
    """A segmentation server, its address, or a setting of one that cannot be used."""


OS_REASONS = {
    errno.EACCES: "permission is denied",
    errno.EPERM: "permission is denied",
    errno.EROFS: "the disk can only be read",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota of this user is used up",
    errno.EFBIG: "the file may not grow any further (limit of the file system, or ulimit -f)",
    errno.EIO: "the disk reports an error",
    errno.EISDIR: "it is a folder, no file",
    errno.ENOTDIR: "a part of its path is a file, no folder",
    errno.ENOENT: "there is no such file or folder",
    errno.ENAMETOOLONG: "its name is too long",
    errno.EMFILE: "this program has too many files open",
    errno.ELOOP: "its links lead in a circle",
}


def add_note(error: BaseException, note: str) -> None:
    """Add a line that the command line prints below the message of an error; Python 3.11 calls it `add_note`."""
    vars(error).setdefault("__notes__", []).append(note)


def os_reason(error: OSError) -> str:
    """Return why the operating system refuses a file; the caller adds the path and what to do next."""
    return OS_REASONS.get(error.errno or 0) or error.strerror or str(error)
