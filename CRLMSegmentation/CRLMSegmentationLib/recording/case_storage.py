"""Case folders in an object storage such as S3, read through fsspec into a bounded cache on each machine.

A mounted share needs none of it: there a case is a folder. A storage is named by a URL, `s3://bucket/cases`; what lies
directly below it are the case folders. A machine that works on a case copies it into its cache, locks it there while it
is used, and removes the cases that were not used for the longest time when the cache is full. Cases are only read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from ..core.errors import CaseError, CrlmError, JsonError
from ..core.folder_lock import FolderLockedError, folder_lock
from ..core.json_files import read_json
from .case import CASE_FILE, RECORDING_FILE

URL = re.compile(r"[a-z][a-z0-9+.-]+://.+")
CACHE_VARIABLE, LIMIT_VARIABLE = "CRLM_CASE_CACHE", "CRLM_CASE_CACHE_GB"
"""Folder of the cache, and its size in GB; by default in the user's cache folder, and `CACHE_GB`."""
CACHE_GB = 20.0
FILES, LISTING, USED = "files", "listing.json", "used"
WAIT_FOR_CASE_S = 0.2
MISSING = "cases at {url} are read with fsspec; install it with: pip install 'crlm-segmentation[storage]'"


def is_url(text: str) -> bool:
    """Return whether a text names a storage, and no folder."""
    return bool(URL.fullmatch(text))


@dataclass(frozen=True)
class RemoteCases:
    """The case folders directly below a URL."""

    url: str

    def __str__(self) -> str:
        return self.url

    def cases(self) -> list[RemoteCase]:
        """Return the case folders, by name; the one at the URL itself if it is a case.

        Raises:
            CaseError: the storage cannot be read, or there is nothing at the URL.
        """
        url = self.url.rstrip("/")
        with _told(url):
            system, root = _system(url)
            found = [PurePosixPath(name) for name in system.find(root)]
        folders = {path.parent for path in found if path.name in (CASE_FILE, RECORDING_FILE)}
        if PurePosixPath(root) in folders:
            return [RemoteCase(url)]
        return [
            RemoteCase(f"{url}/{folder.name}") for folder in sorted(folders) if folder.parent == PurePosixPath(root)
        ]


@dataclass(frozen=True)
class RemoteCase:
    """A case folder in a storage."""

    url: str

    def __str__(self) -> str:
        return self.url

    @property
    def name(self) -> str:
        return PurePosixPath(self.url).name

    @contextmanager
    def at_hand(self) -> Iterator[Path]:
        """Return the folder of a copy on this machine, which is locked while the block lasts.

        A copy that is there is used again if the storage lists the same files; else it is made anew.

        Raises:
            CaseError: the storage cannot be read.
        """
        place = cache_folder() / hashlib.sha256(self.url.encode()).hexdigest()[:32]
        place.mkdir(parents=True, exist_ok=True)
        with _waiting_lock(place):
            self._copy_into(place)
            (place / USED).touch()
            make_room()
            yield place / FILES / self.name

    def _copy_into(self, place: Path) -> None:
        with _told(self.url):
            system, root = _system(self.url)
            listed = system.find(root, detail=True)
            if not listed:
                raise CaseError(f"there is no case at {self.url}; check the name")
            listing = {name: _version_of(entry) for name, entry in sorted(listed.items())}
            known = place / LISTING
            if known.is_file() and _listing_in(known) == listing:
                return
            known.unlink(missing_ok=True)
            shutil.rmtree(place / FILES, ignore_errors=True)
            folder = place / FILES / self.name
            for name in listing:
                target = folder / PurePosixPath(name).relative_to(PurePosixPath(root))
                if ".." in target.parts:
                    raise CaseError(f"{self.url} lists {name}, which lies outside of the case; remove it")
                target.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(name, str(target))
            known.write_text(json.dumps(listing), "utf-8")


def _listing_in(path: Path) -> object:
    """Return the listing of which a case was copied; None where it cannot be read, so that the case is copied again."""
    try:
        return read_json(path)
    except JsonError:
        return None


def make_room() -> None:
    """Remove the copies that were not used for the longest time, until the cache has its size; keep those in use."""
    limit = float(os.environ.get(LIMIT_VARIABLE) or CACHE_GB) * 1e9
    places = [place for place in cache_folder().iterdir() if (place / USED).is_file()]
    sizes = {place: sum(file.stat().st_size for file in place.rglob("*") if file.is_file()) for place in places}
    total = sum(sizes.values())
    for place in sorted(places, key=lambda place: (place / USED).stat().st_mtime):
        if total <= limit:
            return
        with contextlib.suppress(FolderLockedError, FileNotFoundError), folder_lock(place):
            (place / LISTING).unlink(missing_ok=True)
            shutil.rmtree(place / FILES, ignore_errors=True)
            (place / USED).unlink(missing_ok=True)
            total -= sizes[place]


def cache_folder() -> Path:
    """Return the folder of the cache on this machine."""
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else base / "crlm-seg" / "cases"


@contextmanager
def _waiting_lock(place: Path) -> Iterator[None]:
    """Lock a copy, waiting for other processes of this machine that use it."""
    with contextlib.ExitStack() as stack:
        while True:
            try:
                stack.enter_context(folder_lock(place))
                break
            except FolderLockedError:
                time.sleep(WAIT_FOR_CASE_S)
        yield


def _system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise CaseError(MISSING.format(url=url)) from error
    system, path = url_to_fs(url, use_listings_cache=False)
    return system, str(path).rstrip("/")


def _version_of(entry: dict[str, Any]) -> list[str]:
    """Return what changes when a file in a storage does: size, hash, time, as far as the storage tells."""
    return [str(entry.get(key)) for key in ("size", "ETag", "LastModified", "mtime")]


@contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn the errors of storages, which are of many classes, into one that says what to do."""
    try:
        yield
    except CrlmError:
        raise
    except ImportError as error:
        raise CaseError(MISSING.format(url=url)) from error
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise CaseError(f"{url} cannot be read ({reason}); check the name, the network and your access") from error
