"""Calibrations as numbers, as text files and as PLUS configurations."""

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import SweepError
from CRLMSegmentationLib.tracking.sweeps.calibration import (
    ClipRectangle,
    Fan,
    ProbeCalibration,
    image_region,
    read_calibration,
)

LEFT_HANDED = np.array([[0.0, 0.1, 0, 5], [0.2, 0, 0, -7], [0, 0, 0.1, 1], [0, 0, 0, 1]])
NUMBERS = " ".join(str(value) for value in LEFT_HANDED.ravel())
CONFIGURATION = f"""<?xml version="1.0" encoding="UTF-8"?>
<PlusConfiguration version="2.1">
  <CoordinateDefinitions>
    <Transform From="Image" To="Probe" Matrix="
      {NUMBERS}" Error="0.5" Date="2011.12.06 17:57:00" />
    <Transform From="StylusTip" To="Stylus" Matrix="1 0 0 203.772 0 1 0 -12.283 0 0 1 1.17469 0 0 0 1" />
  </CoordinateDefinitions>
  <VolumeReconstruction OutputSpacing="0.5 0.5 0.6" ClipRectangleOrigin="192 16" ClipRectangleSize="420 580"
    FanAnglesDeg="-45 45" FanOriginPixel="380 20" FanRadiusStartPixel="120" FanRadiusStopPixel="360"
    Interpolation="LINEAR" CompoundingMode="MEAN" FillHoles="ON" />
</PlusConfiguration>"""


@pytest.mark.parametrize(
    "text",
    [
        NUMBERS,
        " ".join(NUMBERS.split()[:12]),
        NUMBERS.replace(" ", ", "),
        f"[[{NUMBERS.replace(' ', ';')}]]",
        "\n".join(" ".join(NUMBERS.split()[row : row + 4]) for row in (0, 4, 8, 12)) + "\n",
        CONFIGURATION,
        "\ufeff" + CONFIGURATION,
    ],
)
def test_matrix_is_read_from_text_and_from_a_file_of_it(tmp_path, text):
    (tmp_path / "calibration").write_text(text, encoding="utf-8")
    for source in (text, tmp_path / "calibration", str(tmp_path / "calibration")):
        assert (read_calibration(source).image_to_probe == LEFT_HANDED).all()


def test_configuration_of_plus_tells_of_tools_clipping_fan_and_spacing():
    calibration = read_calibration(CONFIGURATION)
    assert set(calibration.transforms) == {"ImageToProbe", "StylusTipToStylus"}
    assert calibration.transforms["StylusTipToStylus"][0, 3] == 203.772
    assert calibration.clip == ClipRectangle((192, 16), (420, 580))
    assert calibration.fan == Fan((380, 20), (-45, 45), (120, 360))
    assert calibration.output_spacing_mm == (0.5, 0.5, 0.6)
    assert (calibration.compounding, calibration.interpolation, calibration.fill_holes) == ("MEAN", "LINEAR", True)


def test_configuration_without_fan_or_clipping_uses_the_whole_picture():
    text = CONFIGURATION.replace("-45 45", "0 0").replace("ClipRectangleSize", "Other")
    region = read_calibration(text).region(600, 800)
    assert (region.rows, region.columns, region.mask) == (slice(0, 600), slice(0, 800), None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 2 3", "no such calibration file"),
        ("1 2 3\n4 5", "16 numbers .* got 5"),
        (NUMBERS.replace("0.1", "x"), "must be numbers, got '0.0 x"),
        (NUMBERS.replace("0.1", "nan"), "NaN"),
        (" ".join(["0"] * 12), "singular"),
        (" ".join(str(v) for v in LEFT_HANDED.T.ravel()), "0 0 0 1, got .* transposed"),
        (" ".join(str(v) for v in np.diag([50.0, 50, 50, 1]).ravel()), "pixels of .* mm, expected"),
        ("<PlusConfiguration><CoordinateDefinitions/></PlusConfiguration>", 'has no <Transform From="Image"'),
        (CONFIGURATION.replace("203.772 0 1 0", "203.772 0 1 nan"), "StylusTipToStylus holds NaN"),
        (CONFIGURATION.replace('ClipRectangleOrigin="192 16"', ""), "ClipRectangleSize but no ClipRectangleOrigin"),
        (CONFIGURATION.replace('"192 16"', '"nan 16"'), "ClipRectangleOrigin must be 2 numbers, got 'nan 16'"),
        (CONFIGURATION.replace('FillHoles="ON"', 'FillHoles="PERHAPS"'), "FillHoles must be ON or OFF, got 'PERHAPS'"),
        (CONFIGURATION.replace('From="StylusTip" To="Stylus"', 'From="Image" To="Probe"'), "ImageToProbe twice"),
        (
            CONFIGURATION.replace(
                "</PlusConfiguration>", '<VolumeReconstruction OutputSpacing="1 1 1"/></PlusConfiguration>'
            ),
            "2 VolumeReconstruction elements with different settings",
        ),
        (" ".join(str(v / 1000) for v in LEFT_HANDED.ravel()[:12]), "pixels of .* mm, expected .*not metres"),
        ("0,5 0 0 1 0 0,5 0 1 0 0 0,5 1\n", "mixes commas and blanks"),
        ("0.1 0.09 0 0 0 0.04 0 0 0 0 0.1 0", "rows and columns of the picture at a cosine of 0.9"),
        (CONFIGURATION.replace("203.772", ""), "StylusTipToStylus must be 16 numbers"),
        (CONFIGURATION.replace("420 580", "420"), "ClipRectangleSize must be 2 numbers"),
        (CONFIGURATION.replace("</PlusConfiguration>", ""), "not valid XML"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>', "document type"),
        ("<a>" + "x" * 11_000_000 + "</a>", "too large"),
    ],
)
def test_bad_calibration_says_what_is_wrong_with_it(text, says):
    with pytest.raises(SweepError, match=says):
        read_calibration(text)


def test_file_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "a.xml").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(SweepError, match="not a text file"):
        read_calibration(tmp_path / "a.xml")


def test_clip_rectangle_counts_pixels_and_is_cut_by_the_picture():
    region = image_region(10, 20, ClipRectangle((2, 3), (4, 5)))
    assert (region.rows, region.columns) == (slice(3, 8), slice(2, 6))
    region = image_region(10, 20, ClipRectangle((-5, 3), (100, 100)))
    assert (region.rows, region.columns) == (slice(3, 10), slice(0, 20))
    with pytest.raises(SweepError, match="leaves nothing"):
        image_region(10, 20, ClipRectangle((20, 0), (5, 5)))


def test_fan_keeps_what_lies_between_its_edges_and_arcs():
    region = image_region(5, 5, fan=Fan((2, 0), (-45, 45), (1, 3)))
    expected = ["00000", "01110", "11111", "00100", "00000"]
    assert ["".join(str(int(pixel)) for pixel in row) for row in region.mask] == expected
    right_only = image_region(5, 5, fan=Fan((2, 0), (0, 45), (1, 3))).mask
    assert not right_only[:, :2].any()
    with pytest.raises(SweepError, match="FanOriginPixel"):
        image_region(5, 5, fan=Fan((100, 0), (-10, 10), (1, 3)))


def test_fan_and_rectangle_both_hold():
    region = ProbeCalibration(
        LEFT_HANDED, clip=ClipRectangle((2, 1), (2, 2)), fan=Fan((2, 0), (-45, 45), (1, 3))
    ).region(5, 5)
    assert region.mask.tolist() == [[True, True], [True, True]]


ENCODINGS = {"iso-8859-1": "ISO-8859-1", "utf-16": "UTF-16", "windows-1252": "windows-1252", "utf-8": "UTF-8"}


@pytest.mark.parametrize(("codec", "declared"), ENCODINGS.items())
def test_configuration_is_read_in_the_encoding_that_it_declares(tmp_path, codec, declared):
    text = CONFIGURATION.replace("UTF-8", declared).replace(
        "<CoordinateDefinitions>", "<!-- Prüfkopf --><CoordinateDefinitions>"
    )
    (tmp_path / "a.xml").write_bytes(text.encode(codec))
    assert (read_calibration(tmp_path / "a.xml").image_to_probe == LEFT_HANDED).all()


def test_numbers_are_read_from_the_unicode_text_that_windows_writes(tmp_path):
    (tmp_path / "a.txt").write_bytes(NUMBERS.encode("utf-16"))
    assert (read_calibration(tmp_path / "a.txt").image_to_probe == LEFT_HANDED).all()


@pytest.mark.parametrize("codec", ["utf-8", "utf-16"])
def test_document_type_is_refused_in_any_encoding(tmp_path, codec):
    (tmp_path / "a.xml").write_bytes('<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'.encode(codec))
    with pytest.raises(SweepError, match="document type"):
        read_calibration(tmp_path / "a.xml")


def test_configuration_may_lead_to_the_sensor_under_any_name():
    calibration = read_calibration(CONFIGURATION.replace('To="Probe"', 'To="Ultrasound"'))
    assert calibration.image_to_probe is None
    assert set(calibration.transforms) == {"ImageToUltrasound", "StylusTipToStylus"}


def test_settings_of_plus_that_have_no_counterpart_are_told():
    text = CONFIGURATION.replace(
        'FillHoles="ON"', 'SkipInterval="3" EnableFanAnglesAutoDetect="TRUE" OutputOrigin="1 2 3"'
    )
    (note,) = read_calibration(text).notes
    assert "SkipInterval 3" in note
    assert "EnableFanAnglesAutoDetect TRUE" in note
    assert read_calibration(CONFIGURATION.replace('FillHoles="ON"', 'SkipInterval="1"')).notes == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [("", "MEAN"), ('Calculation="MAXIMUM"', "MAXIMUM"), ('Compounding="OFF"', "LATEST"), ('Compounding="ON"', "MEAN")],
)
def test_words_that_plus_has_replaced_are_understood_as_it_does(old, new):
    compounding = read_calibration(CONFIGURATION.replace('CompoundingMode="MEAN"', old)).compounding
    assert compounding == (new if old else None)


def test_rectangle_and_fan_count_in_the_picture_before_it_was_cropped_or_flipped():
    """Pixel (0, 0) of the frames is (2, 1) of the calibrated picture; flipped, column 0 is its column 9."""
    crop, flip = np.eye(4), np.diag([-1.0, 1, 1, 1])
    crop[:2, 3], flip[0, 3] = (2, 1), 9
    whole = image_region(8, 10, ClipRectangle((4, 3), (3, 2)))
    assert (whole.rows, whole.columns) == (slice(3, 5), slice(4, 7))
    cropped = image_region(6, 6, ClipRectangle((4, 3), (3, 2)), to_calibrated=crop)
    assert (cropped.rows, cropped.columns, cropped.mask) == (slice(2, 4), slice(2, 5), None)
    flipped = image_region(8, 10, ClipRectangle((4, 3), (3, 2)), to_calibrated=flip)
    assert (flipped.rows, flipped.columns) == (slice(3, 5), slice(3, 6))
    fan = Fan((4, 0), (-45, 45), (1, 4))
    before, after = image_region(8, 10, fan=fan), image_region(6, 6, fan=fan, to_calibrated=crop)
    assert (before.mask[1:7, 2:8][after.rows, after.columns] == after.mask).all()
