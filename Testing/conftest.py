"""Fixtures for every test: a tiny case; and how `make test` shares the tests among processes.

Each file runs in one process, so that what its tests share is made once; so do the tests of engine and models,
which share a worker and a trained model. Whatever a test opens is its own: `tmp_path`, port 0.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import tempfile
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes, one core for each: their threads must not fight
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(name, "1")

if "CRLM_INFERENCE_CACHE" not in os.environ:  # of the processes of a run, the first; the others inherit it
    os.environ["CRLM_INFERENCE_CACHE"] = tempfile.mkdtemp(prefix="crlm-inference-cache-")
    atexit.register(shutil.rmtree, os.environ["CRLM_INFERENCE_CACHE"], ignore_errors=True)

import numpy as np
import pytest
from CRLMSegmentationLib.core.volume import Volume, write_volume
from CRLMSegmentationLib.recording.case import (
    Case,
    CaseLesion,
    TrackingSample,
    append_tracking,
    save_case,
    save_volume_into_case,
)
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
FIRST = (
    "slicer/panel/test_module_network.py",
    "segmentation/engine",
    "segmentation/inference",
    "segmentation/models",
    "research/study/test_study_real.py",
    "research/training/test_train.py",
    "cli/test_cli_demo.py",
    "research/training/test_train_recipe.py",
    "cli/test_cli_sweeps.py",
    "cli/test_cli_segment.py",
    "slicer/panel/test_module_real_worker.py",
    "end_to_end",
    "cli/test_cli_replay_and_phantom.py",
    "research/evaluation/test_evaluation.py",
    "research/study/test_study_run.py",
)
"""Take longest, so they begin first: a process that is given one of them last would end alone."""
SLOW = (
    "cli/test_cli_arguments.py",
    "cli/test_cli_demo.py",
    "cli/test_cli_evaluate.py",
    "cli/test_cli_models.py",
    "cli/test_cli_prepare.py",
    "cli/test_cli_replay_and_phantom.py",
    "cli/test_cli_report.py",
    "cli/test_cli_rerun.py",
    "cli/test_cli_segment.py",
    "cli/test_cli_study.py",
    "cli/test_cli_sweeps.py",
    "cli/test_cli_train.py",
    "cli/test_segment_files.py",
    "core/test_volume_files_hostile.py",
    "end_to_end",
    "extension/test_extension_cmake.py",
    "fuzz",
    "igtl/test_igtl_faults.py",
    "igtl/test_igtl_hostile.py",
    "igtl/test_igtl_with_cpp.py",
    "recording/test_link_recorder.py",
    "recording/test_player_process.py",
    "recording/test_recover.py",
    "recording/test_session_recorder_limits.py",
    "reports/test_navigation_pictures.py",
    "reports/test_session_report.py",
    "reports/test_slices_and_space.py",
    "research/evaluation/test_calibrate.py",
    "research/evaluation/test_evaluation.py",
    "research/evaluation/test_evaluation_leaks.py",
    "research/evaluation/test_evaluation_methods.py",
    "research/phantom",
    "research/study",
    "research/training/test_prepare.py",
    "research/training/test_prepare_again.py",
    "research/training/test_train.py",
    "research/training/test_train_recipe.py",
    "segmentation/engine/test_engine_answers.py",
    "segmentation/engine/test_engine_lifecycle.py",
    "segmentation/inference/test_nnunet.py",
    "segmentation/models/test_model_import.py",
    "segmentation/models/test_model_packing.py",
    "segmentation/models/test_volume_model.py",
    "server/test_cli_server.py",
    "server/test_same_answer.py",
    "server/test_server_faults.py",
    "server/test_server_http.py",
    "slicer/panel/test_module_life.py",
    "slicer/panel/test_module_live.py",
    "slicer/panel/test_module_models.py",
    "slicer/panel/test_module_navigation.py",
    "slicer/panel/test_module_network.py",
    "slicer/panel/test_module_real_worker.py",
    "slicer/panel/test_module_recording.py",
    "slicer/panel/test_module_rendering.py",
    "slicer/panel/test_module_save.py",
    "slicer/panel/test_module_source.py",
    "slicer/panel/test_module_views.py",
    "slicer/workspace/test_workspace_stress.py",
    "slicer/workspace/test_workspace_without_packages.py",
    "tracking/test_interval.py",
    "tracking/test_late_and_frozen.py",
)
"""Start processes, compute segmentations, draw, or take long for another reason: `make check` leaves them out.

What is left out: the command line as a whole (each command in a process of its own, evaluate, prepare, report), real
inference, training and studies, alignment, phantoms, fuzzing of files, stress of the workspace, drawing of reports,
sessions that are recorded or recovered, and of the panel its life, models, network, navigation, recording, saving,
views and sources. What it keeps: the units of all rooms, scenes, workspaces, and seeds, segmenting and results in the
panel.
"""


WITH_WORKER = ("engine", "inference", "models")
"""Folders of tests that share a worker and a trained model."""


def _place_in(names: tuple[str, ...], file: str) -> int:
    """Where a file of tests, or its folder, stands in a list; the list's length when nowhere."""
    return next((place for place, name in enumerate(names) if file == name or file.startswith(f"{name}/")), len(names))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    gone = [name for name in (*FIRST, *SLOW) if not (here / name).exists()]
    if gone:
        raise pytest.UsageError(f"conftest.py lists tests that are not there: {', '.join(gone)}; rename or remove them")
    file_of = {item: item.path.relative_to(here).as_posix() for item in items}
    items.sort(key=lambda item: _place_in(FIRST, file_of[item]))
    for item, file in file_of.items():
        if _place_in(SLOW, file) < len(SLOW):
            item.add_marker(pytest.mark.slow)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Modules live as long as the process: the garbage collector, which takes half a second for them, skips them."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Hands whole files to processes. (pytest-xdist 3.8 has groups for this, which pytest 9 leaves without effect.)"""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "worker" if any(f"/segmentation/{room}/" in file for room in WITH_WORKER) else file

    return ByFile(config, log)


@pytest.fixture
def tiny_volume():
    """A dark ball of 8 mm radius at RAS (20, 20, 20) in bright speckle, 1 mm voxels."""
    rng = np.random.default_rng(1)
    k, j, i = np.indices((40, 40, 40))
    inside = (k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 64
    array = np.where(inside, 40, 120) + rng.integers(-20, 20, (40, 40, 40))
    return Volume(array.astype(np.uint8), np.eye(4), "recvol_Reference", 100.0)


@pytest.fixture
def make_scene():
    """`headless.new_scene`, whose scenes are freed after the test: logics and scene keep each other alive for ever."""
    from CRLMSegmentationLib.slicer.scene.headless import new_scene

    made = []

    def make():
        made.append(new_scene())
        return made[-1]

    yield make
    for scene in made:
        for logic in scene.logics:
            logic.SetMRMLScene(None)
        scene.logics = []


@pytest.fixture
def tiny_case(tmp_path, tiny_volume):
    """A case folder with the tiny volume, its truth, one seed and a second of tracking at 10 Hz."""
    folder = tmp_path / "tiny-case"
    folder.mkdir()
    k, j, i = np.indices((40, 40, 40))
    truth = ((k - 20) ** 2 + (j - 20) ** 2 + (i - 20) ** 2 < 64).astype(np.uint8)
    write_volume(Volume(truth, np.eye(4)), folder / "truth.nrrd")
    entry = save_volume_into_case(folder, "volume", tiny_volume)
    samples = [TrackingSample(99.0 + t / 10, "ProbeToReference", "OK", np.eye(4)) for t in range(10)]
    append_tracking(folder / "tracking.jsonl", samples)
    lesions = (CaseLesion("Tumour 1", (20.0, 20.0, 20.0), 1),)
    save_case(Case(folder, "tiny", (entry,), lesions, "truth.nrrd", "tracking.jsonl", source={"kind": "simulated"}))
    return folder
