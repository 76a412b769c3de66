"""From a file to a volume, with what was decided named in the output."""

from __future__ import annotations

import numpy as np
import pytest
from CRLMSegmentationLib.cli.describe import describe_source
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.recording.reconstruct import ReconstructionSettings, load_sweep, reconstruct, reconstruct_file
from CRLMSegmentationLib.recording.sweep_messages import RecordedSweep, messages_of_sweep, notes_on
from CRLMSegmentationLib.tracking.sweeps.calibration import ProbeCalibration
from CRLMSegmentationLib.tracking.sweeps.colours import colour_notes
from CRLMSegmentationLib.tracking.sweeps.sequence_io import write_sequence
from CRLMSegmentationLib.tracking.sweeps.volume_builder import Compounding, Interpolation
from helpers.sweep_helpers import sequence_of, shifted, track

FRAMES = np.full((3, 6, 8), 50, np.uint8)
CONFIGURATION = (
    '<PlusConfiguration><Transform From="Image" To="{to}" Matrix="{matrix}"/>'
    "<VolumeReconstruction {settings}/></PlusConfiguration>"
)
UNIT = "1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"


@pytest.fixture
def sweep(tmp_path):
    write_sequence(sequence_of(FRAMES), tmp_path / "a.igs.mha")
    return tmp_path / "a.igs.mha"


def configuration(settings="", to="Probe", matrix=UNIT):
    return CONFIGURATION.format(to=to, matrix=matrix, settings=settings)


@pytest.mark.parametrize(
    ("settings", "advice"),
    [
        (
            'CompoundingMode="IMPORTANCE_MASK"',
            "Compounding 'IMPORTANCE_MASK', known are MEAN, MAXIMUM, LATEST.*--compound",
        ),
        ('Interpolation="CUBIC"', "Interpolation 'CUBIC', known are NEAREST_NEIGHBOR, LINEAR.*--linear or --nearest"),
    ],
)
def test_unknown_words_of_a_configuration_are_refused_unless_an_option_decides(sweep, settings, advice):
    loaded = load_sweep(sweep, configuration(settings))
    with pytest.raises(SweepError, match=advice):
        reconstruct(loaded)
    chosen = ReconstructionSettings(compounding=Compounding.MEAN, interpolation=Interpolation.NEAREST)
    assert reconstruct(loaded, chosen).volume.array.any()


def test_what_was_decided_stands_in_the_output(sweep, tmp_path):
    told = "\n".join(reconstruct_file(sweep, tmp_path / "v.nrrd", configuration('OutputSpacing="2 2 2"')))
    for part in (
        "3 of 3 frames used",
        "placed in Reference by ImageToProbe, ProbeToTracker, ReferenceToTracker inverted",
        "pixels of 1 x 1 mm, picture 8 x 6 mm, all of it used",
        "spacing of the configuration",
        "mean of the pixels in a voxel, nearest voxel, gaps between frames closed",
    ):
        assert part in told


def test_constant_that_is_left_out_as_the_outside_is_told(tmp_path):
    """Scanners draw a border of a grey of their own around the picture."""
    frames = np.random.default_rng(0).integers(60, 200, (40, 48, 48), dtype=np.uint8)
    for rows in (slice(0, 8), slice(40, 48)):
        frames[:, rows], frames[:, :, rows] = 12, 12
    write_sequence(sequence_of(frames), tmp_path / "a.igs.mha")
    made = reconstruct(load_sweep(tmp_path / "a.igs.mha", configuration()))
    assert any("voxels of 12 fill the outside and count as not imaged" in line for line in made.lines())


def test_volume_in_another_frame_is_not_called_one_of_reference(sweep):
    made = reconstruct(load_sweep(sweep, configuration()), ReconstructionSettings(frame="Tracker"))
    assert made.volume.device == "recvol_Tracker"
    assert any(note.startswith("placed in Tracker") for note in made.notes)


def test_info_claims_no_calibration_because_of_a_name(tmp_path):
    sequence = sequence_of(FRAMES)
    sequence.transforms["ImageToCroppedImage"] = track([shifted(-3, -2)] * 3)
    write_sequence(sequence, tmp_path / "a.igs.mha")
    told = describe_source(tmp_path / "a.igs.mha")
    assert told["has_calibration"] is False
    assert "--calibration" in told["not_placed"]
    sequence.transforms["ImageToProbe"] = track([np.diag([0.1, 0.1, 0.1, 1])] * 3)
    write_sequence(sequence, tmp_path / "b.igs.mha")
    told = describe_source(tmp_path / "b.igs.mha")
    assert told["has_calibration"] is True
    assert told["placed"]["pixels_in"] == "CroppedImage"


@pytest.mark.parametrize("times_s", [[0, 0, 0], [5, 5, 5], [7, 6, 5]])
def test_sweep_whose_times_cannot_tell_is_played_frame_by_frame_and_told(times_s):
    sequence = sequence_of(FRAMES)
    sequence.timestamps_s[:] = times_s
    played = RecordedSweep(sequence, ProbeCalibration(np.eye(4)))
    messages = messages_of_sweep(played)
    assert [m.offset_s for m in messages if m.device == "Image_Reference"] == pytest.approx([0.0, 0.1, 0.2])
    assert [m.load().ijk_to_ras[2, 3] for m in messages if m.device == "Image_Reference"] == [0, 1, 2]
    assert any("frames are played 0.1 s apart" in note for note in notes_on(played))


def test_replay_tells_in_which_frame_its_images_are_and_why():
    sequence = sequence_of(FRAMES)
    assert notes_on(RecordedSweep(sequence, ProbeCalibration(np.eye(4)))) == []
    del sequence.transforms["ReferenceToTracker"]
    (note,) = notes_on(RecordedSweep(sequence, ProbeCalibration(np.eye(4))))
    assert "images are sent in the frame Tracker, as Image_Tracker: tiny: no transform from Image to Reference" in note
    (note,) = notes_on(RecordedSweep(sequence))
    assert "images are sent in pixels, without a place, as Image_Image" in note


def colour(share):
    frames = np.repeat(np.full((4, 10, 10, 1), 60, np.uint8), 3, axis=-1)
    frames.reshape(-1, 3)[: round(share * 400)] = 250, 20, 20
    return frames


def test_colour_that_is_no_grey_is_told_with_its_share():
    assert colour_notes(FRAMES) == []
    assert "they show grey alone" in colour_notes(colour(0))[0]
    assert colour_notes(colour(0.05))[0].startswith("5 % of the pixels are coloured")
    rounded = colour(0).astype(int) + np.random.default_rng(0).integers(-3, 3, (4, 10, 10, 3))
    assert "they show grey alone" in colour_notes(rounded.astype(np.uint8))[0]
