"""The cache gives back what was stored, or nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from CRLMSegmentationLib.segmentation.inference import inference_cache
from CRLMSegmentationLib.segmentation.inference.inference_cache import (
    FOLDER,
    FOLDER_VARIABLE,
    HASHES,
    KEPT_FOLDERS,
    MADE_BY,
    InferenceCache,
    package_version,
)
from CRLMSegmentationLib.segmentation.models.registry import installed_models

NAMES = ("fold_0.bin", "fold_0.xml")


@pytest.fixture
def cache(tiny_package, tmp_path) -> InferenceCache:
    return InferenceCache(tiny_package, tmp_path / "caches")


def networks(folder: Path, content: str = "network") -> Path:
    """A folder with the files of an exported network."""
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_text(f"{content} {name}")
    return folder


def is_stored(cache: InferenceCache) -> bool:
    return cache.files(NAMES) is not None


def test_what_was_stored_is_found_by_the_next_process(cache, tiny_package, tmp_path):
    assert cache.files(NAMES) is None
    assert cache.read_json("choice.json") is None
    assert cache.store(networks(tmp_path / "made"))
    cache.write_json("choice.json", {"pass_s": None, "cores": 2})
    later = InferenceCache(tiny_package, tmp_path / "caches")
    assert later.files(NAMES) == [later.folder / name for name in NAMES]
    assert later.files(NAMES[1:])[0].read_text() == "network fold_0.xml"
    assert later.read_json("choice.json") == {"pass_s": None, "cores": 2}
    assert sorted(path.name for path in cache.folder.iterdir()) == ["choice.json", *NAMES, HASHES]


def damage_a_network(folder: Path) -> None:
    (folder / NAMES[0]).write_text("another network")


def lose_a_network(folder: Path) -> None:
    (folder / NAMES[0]).unlink()


def lose_the_hashes(folder: Path) -> None:
    (folder / HASHES).unlink()


def cut_the_hashes_off(folder: Path) -> None:
    (folder / HASHES).write_text((folder / HASHES).read_text()[:20])


def replace_the_hashes(folder: Path) -> None:
    (folder / HASHES).write_text('["fold_0.bin"]')


def forget_a_hash(folder: Path) -> None:
    hashes = json.loads((folder / HASHES).read_text())
    (folder / HASHES).write_text(json.dumps({NAMES[0]: hashes[NAMES[0]]}))


def put_a_folder_in_place_of_a_network(folder: Path) -> None:
    (folder / NAMES[0]).unlink()
    (folder / NAMES[0]).mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        damage_a_network,
        lose_a_network,
        lose_the_hashes,
        cut_the_hashes_off,
        replace_the_hashes,
        forget_a_hash,
        put_a_folder_in_place_of_a_network,
    ],
)
def test_damaged_cache_is_passed_over_and_can_be_filled_again(cache, tmp_path, damage):
    made = networks(tmp_path / "made")
    cache.store(made)
    assert is_stored(cache)
    damage(cache.folder)
    assert not is_stored(cache)
    if damage is not put_a_folder_in_place_of_a_network:
        assert cache.store(made)
        assert is_stored(cache)


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"pass_s": NaN}', "\0"])
def test_damaged_choice_is_passed_over(cache, text):
    cache.folder.mkdir(parents=True)
    (cache.folder / "choice.json").write_text(text)
    assert cache.read_json("choice.json") is None


def test_numbers_that_could_not_be_read_again_are_not_written(cache):
    with pytest.raises(ValueError, match="JSON compliant"):
        cache.write_json("choice.json", {"difference": float("nan")})


def test_another_model_program_or_library_has_a_cache_of_its_own(tiny_package, tmp_path, monkeypatch):
    def folder() -> Path:
        return InferenceCache(tiny_package, tmp_path).folder

    first = folder()
    assert folder() == first
    assert InferenceCache(replace(tiny_package, sha256="1" * 64), tmp_path).folder != first
    others = set()
    for name in MADE_BY:
        with monkeypatch.context() as changed:
            changed.setattr(inference_cache, "package_version", lambda asked, name=name: "9.9" if asked == name else "")
            others.add(folder())
    monkeypatch.setattr(inference_cache, "__version__", "9.9")
    others.add(folder())
    assert len({first, *others}) == len(MADE_BY) + 2


def test_version_of_a_package_is_found_without_importing_it():
    code = "import sys; from CRLMSegmentationLib.segmentation.inference.inference_cache import package_version as v\n"
    code += "print(v('torch'), repr(v('no-such-package-at-all')), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [package_version("torch"), "''", "False"]


def test_cache_lies_where_the_variable_says_else_beside_the_imported_models(tiny_package, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "elsewhere"))
    assert InferenceCache(tiny_package).folder.parent == tmp_path / "elsewhere"
    monkeypatch.delenv(FOLDER_VARIABLE)
    monkeypatch.setenv("CRLM_MODELS", str(tmp_path / "models"))
    assert InferenceCache(tiny_package).folder.parent == tmp_path.resolve() / "models" / FOLDER


def test_cache_beside_the_imported_models_is_no_model(tiny_package, models, monkeypatch):
    before = [model.folder for model in installed_models()]
    monkeypatch.delenv(FOLDER_VARIABLE)
    InferenceCache(tiny_package).write_json("choice.json", {})
    assert (models / FOLDER).is_dir()
    assert [model.folder for model in installed_models()] == before


def test_where_nothing_can_be_written_nothing_is_stored_and_nothing_fails(tiny_package, tmp_path):
    (tmp_path / "file").touch()
    cache = InferenceCache(tiny_package, tmp_path / "file")
    assert not cache.store(networks(tmp_path / "made"))
    cache.write_json("choice.json", {"cores": 2})
    assert cache.read_json("choice.json") is None
    assert not is_stored(cache)


def test_cache_that_can_only_be_read_is_read(cache, tmp_path, monkeypatch):
    """As one that an administrator has filled. Root may write anywhere, so the system's answers are put in place."""
    made = networks(tmp_path / "made")
    cache.store(made)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    for module, name in ((os, "utime"), (os, "replace"), (tempfile, "mkdtemp")):
        monkeypatch.setattr(module, name, refuse)
    assert is_stored(cache)
    assert not cache.store(made)
    cache.write_json("choice.json", {})
    assert is_stored(cache)
    assert cache.read_json("choice.json") is None


def test_full_disk_leaves_no_part_of_a_file(cache, tmp_path, monkeypatch):
    write_bytes = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        write_bytes(path, content[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert not cache.store(networks(tmp_path / "made"))
    cache.write_json("choice.json", {"cores": 2})
    assert list(cache.folder.iterdir()) == []


def test_process_that_stores_in_the_midst_of_another_spoils_nothing(cache, tiny_package, tmp_path, monkeypatch):
    """Both are made of the same model, but their files need not be the same to the last byte."""
    first, second = networks(tmp_path / "first", "first"), networks(tmp_path / "second", "second")
    rename, other = os.replace, InferenceCache(tiny_package, tmp_path / "caches")

    def interrupted(source: Path, target: Path) -> None:
        if target.name == NAMES[1]:
            monkeypatch.setattr(os, "replace", rename)
            assert other.store(second)
        rename(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    assert cache.store(first)
    stored = {name: (cache.folder / name).read_text() for name in NAMES}
    assert stored == {NAMES[0]: f"second {NAMES[0]}", NAMES[1]: f"first {NAMES[1]}"}
    assert not is_stored(cache), "a mixture is not used"
    assert cache.store(first)
    assert is_stored(cache)


def test_many_that_store_at_once_leave_a_cache_that_is_whole_or_not_used(cache, tiny_package, tmp_path):
    """Each writes the same files, as an export of the same model does but for names in it."""
    made = networks(tmp_path / "made")
    start, problems = threading.Barrier(6), []

    def store() -> None:
        own = InferenceCache(tiny_package, tmp_path / "caches")
        start.wait()
        for _ in range(10):
            try:
                assert own.store(made)
                own.write_json("choice.json", {"cores": 2})
                assert is_stored(own)
                assert own.read_json("choice.json") == {"cores": 2}
            except BaseException as error:
                problems.append(error)
                raise

    threads = [threading.Thread(target=store) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert sorted(path.name for path in cache.folder.iterdir()) == ["choice.json", *NAMES, HASHES]


def package_of(tiny_package, number: int):
    return replace(tiny_package, sha256=f"{number:064x}")


def test_caches_not_used_for_longest_are_removed(tiny_package, tmp_path):
    made = networks(tmp_path / "made")
    caches = [InferenceCache(package_of(tiny_package, n), tmp_path / "caches") for n in range(KEPT_FOLDERS + 1)]
    for age, cache in enumerate(caches[:-1]):
        cache.store(made)
        os.utime(cache.folder, (1e9 + age, 1e9 + age))
    assert is_stored(caches[0]), "it is used, so it is not the oldest any more"
    caches[-1].store(made)
    assert [is_stored(cache) for cache in caches] == [True, False, *[True] * (KEPT_FOLDERS - 1)]


def test_folder_of_others_that_the_variable_names_is_left_alone(tiny_package, tmp_path):
    """A home, say, which holds many folders that nobody has used for long."""
    for number in range(3 * KEPT_FOLDERS):
        (tmp_path / f"patient {number}").mkdir()
        os.utime(tmp_path / f"patient {number}", (1e9, 1e9))
    for number in range(KEPT_FOLDERS + 3):
        InferenceCache(package_of(tiny_package, number), tmp_path).write_json("choice.json", {})
    assert len(list(tmp_path.glob("patient *"))) == 3 * KEPT_FOLDERS
    assert len(list(tmp_path.iterdir())) == 4 * KEPT_FOLDERS


def test_cache_that_vanishes_meanwhile_is_made_again(cache, tmp_path):
    made = networks(tmp_path / "made")
    cache.store(made)
    shutil.rmtree(cache.folder)
    assert not is_stored(cache)
    assert cache.store(made)
    assert is_stored(cache)
