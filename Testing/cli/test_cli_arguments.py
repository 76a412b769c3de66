"""Arguments: what is understood, what is refused with exit code 2, and what must not be loaded for --help."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from CRLMSegmentationLib.cli.clicks import LesionClicks
from CRLMSegmentationLib.cli.main import join_points
from helpers.point_helpers import exclude, include

COMMANDS = (
    "demo",
    "replay",
    "rerun",
    "report",
    "segment",
    "phantom",
    "prepare",
    "train",
    "evaluate",
    "calibrate",
    "study",
    "info",
)
HEAVY = ("numpy", "scipy", "SimpleITK", "torch", "nnunetv2", "vtk", "vtkmodules", "slicer", "matplotlib", "rich")
PROBE = """
import sys
from CRLMSegmentationLib.cli.main import main
for line in sys.stdin.read().splitlines():
    sys.argv = ["crlm-seg", *line.split("\t")]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
    print(line, *sorted({name.partition(".")[0] for name in sys.modules}), sep="\t", file=sys.stderr)
"""


def test_nothing_heavy_is_loaded_for_help_for_info_and_to_verify_a_model(model):
    """All in one process: what one command has loaded is loaded for those after it."""
    lines = [
        "--help",
        *(f"{command}\t--help" for command in COMMANDS),
        "info",
        f"info\t--json\t--model\t{model.folder}",
    ]
    command = [sys.executable, "-c", PROBE]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, check=True)
    told = done.stderr.splitlines()
    assert len(told) == len(lines)
    for line, loaded in zip(lines, told):
        assert loaded.startswith(line)
        assert set(HEAVY).isdisjoint(loaded.split("\t")), line
    assert {"CRLMSegmentationLib", "hashlib"} <= set(told[-1].split("\t"))


def test_help_names_every_command_and_the_limits_of_use(crlm_seg):
    done = crlm_seg("--help")
    assert done.code == 0
    assert "Not for clinical use" in " ".join(done.out.split())
    for command in COMMANDS:
        assert command in done.out


def test_info_tells_versions_devices_and_the_verified_model(crlm_seg, model):
    told = json.loads(crlm_seg("info", "--json", "--model", model.folder).out)
    assert set(told) == {"versions", "devices", "runtime", "model", "model_error"}
    assert told["model"] == {
        "name": model.name,
        "version": model.version,
        "sha256": model.sha256,
        "simulated_only": model.simulated_only,
    }
    assert told["model_error"] is None
    assert "cores" in told["devices"][-1]
    assert "missing" not in told["versions"].values()
    plain = crlm_seg("info", "--model", model.folder)
    assert plain.code == 0
    assert model.sha256 in plain.out
    assert told["versions"]["torch"] in plain.out


def test_info_tells_the_runtime_that_was_measured_at_the_first_start(crlm_seg, model, tmp_path, monkeypatch):
    from CRLMSegmentationLib.segmentation.inference.inference_cache import CHOICE_FILE, InferenceCache

    monkeypatch.setenv("CRLM_INFERENCE_CACHE", str(tmp_path))
    assert json.loads(crlm_seg("info", "--json", "--model", model.folder).out)["runtime"] is None
    assert "found by measurement when the model is first started" in crlm_seg("info", "--model", model.folder).out
    fast = {"runtime": "OpenVINO", "device": "CPU", "precision": "bfloat16"}
    slow = {"runtime": "torch", "device": "CPU", "precision": "float32"}
    measured = [
        {**slow, "pass_s": 0.5, "difference": 0.0, "problem": ""},
        {**fast, "pass_s": 0.05, "difference": 0.02, "problem": ""},
    ]
    InferenceCache(model).write_json(CHOICE_FILE, {"choice": fast, "measured": measured})
    told = json.loads(crlm_seg("info", "--json", "--model", model.folder).out)
    assert told["runtime"] == {**fast, "pass_s": 0.05, "difference": 0.02}
    assert "OpenVINO bfloat16 on the CPU, 0.050 s for a pass" in crlm_seg("info", "--model", model.folder).out


def test_gpus_are_named_by_their_driver(tmp_path, monkeypatch):
    from CRLMSegmentationLib.core import environment

    for number, name in enumerate(["NVIDIA H200", "NVIDIA RTX A6000"]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 74\n")
    monkeypatch.setattr(environment, "NVIDIA_DRIVER", tmp_path)
    assert environment.devices()[:-1] == ["NVIDIA H200", "NVIDIA RTX A6000"]


@pytest.mark.parametrize(
    ("given", "joined"),
    [
        ("segment v --seed 1 2 3 --out o", ["segment", "v", "--seed=1 2 3", "--out", "o"]),
        ("segment v --seed -1 -2.5 +3e1 -v", ["segment", "v", "--seed=-1 -2.5 +3e1", "-v"]),
        ("segment --seed 1 2 3 v --seed 4 5 6", ["segment", "--seed=1 2 3", "v", "--seed=4 5 6"]),
        ("-v segment --seed 1 2 3", ["-v", "segment", "--seed=1 2 3"]),
        ("segment v --seed 1 2 --out o", ["segment", "v", "--seed=1 2", "--out", "o"]),
        ("segment v --seed 1 2 3 4", ["segment", "v", "--seed=1 2 3 4"]),
        ("segment v --seed=1,2,3 --seed -1,2,3", ["segment", "v", "--seed=1,2,3", "--seed", "-1,2,3"]),
        ("segment v --seed", ["segment", "v", "--seed"]),
        (
            "segment v --seed 1 2 3 --exclude -4 5 6 --include 7 8 9 --out o",
            ["segment", "v", "--seed=1 2 3", "--exclude=-4 5 6", "--include=7 8 9", "--out", "o"],
        ),
        ("phantom --seed 4 --cases 2 --out segment", ["phantom", "--seed", "4", "--cases", "2", "--out", "segment"]),
    ],
)
def test_three_words_make_a_point(given, joined):
    assert join_points(given.split()) == joined


@pytest.mark.parametrize(
    "seed", ["--seed -1.5 -20 3e1", "--seed=-1.5,-20,30", "--seed -1.5,-20,30", "--seed=-1.5 -20 30"]
)
def test_every_way_to_write_a_seed_is_understood(crlm_seg, seed, monkeypatch, tmp_path):
    from CRLMSegmentationLib.cli import segment_files

    asked = []

    def stop_here(volume, lesions, *rest):
        asked.extend(lesions)
        raise MemoryError

    monkeypatch.setattr(segment_files, "segment_file", stop_here)
    words = [seed] if seed.startswith("--seed=") else seed.split()
    done = crlm_seg("segment", "v.nrrd", "--seed", 7, 8, 9, *words, "--out", tmp_path / "o.nrrd")
    assert asked == [LesionClicks((7.0, 8.0, 9.0)), LesionClicks((-1.5, -20.0, 30.0))]
    assert done.code == 1
    assert done.error_lines == ["Error: not enough memory; close other programs or take a smaller volume"]


@pytest.mark.parametrize("joined", [False, True])
def test_points_belong_to_the_seed_before_them_in_their_order(crlm_seg, monkeypatch, tmp_path, joined):
    from CRLMSegmentationLib.cli import segment_files

    asked = []

    def stop_here(volume, lesions, *rest):
        asked.extend(lesions)
        raise MemoryError

    monkeypatch.setattr(segment_files, "segment_file", stop_here)
    said = [
        ("seed", 1, 2, 3),
        ("exclude", 1, 2, 9),
        ("include", -4, 2, 3),
        ("exclude", 1, 2, 8),
        ("seed", 20, 2, 3),
        ("seed", 40, 2, 3),
        ("include", 41, 2, 5),
    ]
    first, *others = ([f"--{name}={','.join(map(str, ras))}"] if joined else [f"--{name}", *ras] for name, *ras in said)
    crlm_seg("segment", *first, "v.nrrd", *(word for words in others for word in words), "--out", tmp_path / "o.nrrd")
    assert asked == [
        LesionClicks((1.0, 2.0, 3.0), (exclude(1, 2, 9), include(-4, 2, 3), exclude(1, 2, 8))),
        LesionClicks((20.0, 2.0, 3.0)),
        LesionClicks((40.0, 2.0, 3.0), (include(41, 2, 5),)),
    ]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ("segment v.nrrd --seed 1 2 --out o.nrrd", "three numbers R A S in mm, got '1 2'"),
        ("segment v.nrrd --seed 1 2 3 4 --out o.nrrd", "got '1 2 3 4'"),
        ("segment v.nrrd --seed 1 2 nan --out o.nrrd", "got '1 2 nan'"),
        ("segment v.nrrd --seed left up 3 --out o.nrrd", "up 3"),
        ("segment v.nrrd --out o.nrrd --seed", "--seed"),
        ("segment v.nrrd --seed 1 2 3 --include 1 2 --out o.nrrd", "--include: expected three numbers R A S in mm"),
        ("segment v.nrrd --seed 1 2 3 --exclude 1 2 inf --out o.nrrd", "--exclude: expected three numbers R A S in mm"),
        (
            "segment v.nrrd --exclude 1 2 9 --seed 1 2 3 --out o.nrrd",
            "--exclude: a point belongs to the --seed before it",
        ),
        ("segment v.nrrd --include 1 2 9 --out o.nrrd", "--seed"),
        ("pack results --out model --with-seed --with-points", "not both"),
        ("segment v.nrrd --seed --out o.nrrd", "--out"),
        ("segment v.nrrd --out o.nrrd", "--seed"),
        ("segment v.nrrd --seed 1 2 3", "--out"),
        ("segment --seed 1 2 3 --out o.nrrd", "volume"),
        ("segment v.nrrd --seed 1 2 3 --out o.nrrd --size 19", "--size"),
        ("segment v.nrrd --seed 1 2 3 --out o.nrrd --size 401", "--size"),
        ("replay case --speed 0", "--speed"),
        ("replay case --speed nan", "--speed"),
        ("replay case --port 65536", "--port"),
        ("replay", "case"),
        ("phantom --cases 0 --out o", "--cases"),
        ("phantom --cases 1", "--out"),
        ("dance", "dance"),
        ("info --jso", "--jso"),
    ],
)
def test_wrong_arguments_give_exit_code_2(crlm_seg, arguments, cause, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = crlm_seg(*arguments.split())
    assert done.code == 2
    assert cause.lower() in done.err.splitlines()[-1].lower()
    assert list(tmp_path.iterdir()) == []
