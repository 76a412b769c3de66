"""Every output that shows or uses a distance agrees with `Situation.displayed`, in each situation of a table.

The situations are made by hand, so that the rule is tried alone; scene, recorder and session report are real.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import vtk
from CRLMSegmentationLib.core.reasons import Reason, ReasonCode
from CRLMSegmentationLib.recording.session_reader import SessionReader
from CRLMSegmentationLib.recording.session_recorder import SessionRecorder
from CRLMSegmentationLib.reports.navigation_entry import navigation_entry
from CRLMSegmentationLib.reports.session_document import document_of
from CRLMSegmentationLib.reports.session_lesions import histories_of
from CRLMSegmentationLib.segmentation.refinement import CUT_OFF, NOT_INSONIFIED
from CRLMSegmentationLib.slicer.panel.lesion_texts import lesion_distances
from CRLMSegmentationLib.slicer.scene.nodes import find_node
from CRLMSegmentationLib.slicer.views.corner_annotation import CORNER, CornerAnnotation
from CRLMSegmentationLib.slicer.views.margin_alarm import MarginAlarm
from CRLMSegmentationLib.slicer.views.navigation_texts import distance_of, instruments_text
from CRLMSegmentationLib.slicer.workspace.event_writer import EventWriter
from CRLMSegmentationLib.slicer.workspace.events import DistancesUpdated
from CRLMSegmentationLib.slicer.workspace.navigation_targets import NOTHING_FOUND, OUT_OF_DATE
from CRLMSegmentationLib.tracking.colours import distance_colour
from CRLMSegmentationLib.tracking.instruments import Instrument
from CRLMSegmentationLib.tracking.interval import Interval
from CRLMSegmentationLib.tracking.readings import InstrumentState, Reading, ReliableReading
from CRLMSegmentationLib.tracking.situation import Situation

MARGINS_MM = (5.0, 10.0)
STILL = Reason(ReasonCode.SENSOR_STILL, {"seconds": 6.0})
SENSOR_LOST = Reason(ReasonCode.NOT_TRACKED).about_sensor()
UNWATCHED = Reason(ReasonCode.SENSOR_NOT_SENT, {"transform": "ReferenceToTracker"})
OTHER_SOURCE, UNCALIBRATED = Reason(ReasonCode.OTHER_SOURCE), Reason(ReasonCode.UNCALIBRATED)


def reading(lesion, away_mm, unreliable_reason=None, has_surface=True):
    """Of a lesion to the right of the tip; deep inside it the border may be far away."""
    interval = None if unreliable_reason else Interval(away_mm, away_mm - 3.0, away_mm + 3.0)
    margin_mm = min((width for width in MARGINS_MM if away_mm < width), default=None)
    if not has_surface:
        return Reading(lesion, f"{lesion} named", None, None, None, unreliable_reason)
    point = np.array([abs(away_mm), 0.0, 0.0])
    return (Reading if interval is None else ReliableReading)(
        lesion, f"{lesion} named", interval, point, margin_mm, unreliable_reason, away_mm
    )


def tool(frame, *readings, unreliable_reason=None, place=(0.0, 0.0, 0.0)):
    matrix = np.eye(4)
    matrix[:3, 3] = place
    return InstrumentState(Instrument(frame), matrix, matrix[:3, 3], unreliable_reason, readings)


@dataclass(frozen=True)
class Case:
    """What must be shown: a distance of an instrument to a lesion; or reasons, and no number anywhere."""

    situation: Situation
    shown: tuple[str, str, float] | None = None
    reasons: tuple[ReasonCode, ...] = ()
    margin_mm: float | None = None
    warnings: tuple[Reason, ...] = field(default=())


def shows(*instruments, of, margin_mm=None, warnings=()):
    return Case(Situation(instruments, None, warnings), of, (), margin_mm, warnings)


def withholds(*instruments, reasons, margin_mm=None, sensor_unreliable_reason=None, warnings=()):
    return Case(Situation(instruments, sensor_unreliable_reason, warnings), None, reasons, margin_mm, warnings)


def alone(unreliable_reason):
    """The only instrument is in doubt."""
    return withholds(tool("Stylus", unreliable_reason=unreliable_reason), reasons=(unreliable_reason.code,))


SIGHTS = {
    "sound lesion alone": shows(tool("Stylus", reading("A", 12.0)), of=("Stylus", "A", 12.0)),
    "within a margin": shows(tool("Stylus", reading("A", 7.0)), of=("Stylus", "A", 7.0), margin_mm=10.0),
    "sound lesion nearest": shows(
        tool("Stylus", reading("A", 4.0), reading("B", 12.0, CUT_OFF)), of=("Stylus", "A", 4.0), margin_mm=5.0
    ),
    "unreliable lesion nearer": withholds(
        tool("Stylus", reading("A", 12.0), reading("B", 4.0, CUT_OFF)), reasons=(ReasonCode.CUT_OFF,), margin_mm=5.0
    ),
    "unreliable lesion as near": withholds(
        tool("Stylus", reading("A", 12.0), reading("B", 12.0, CUT_OFF)), reasons=(ReasonCode.CUT_OFF,)
    ),
    "unreliable lesion farther": shows(
        tool("Stylus", reading("A", 12.0), reading("B", 20.0, NOT_INSONIFIED)), of=("Stylus", "A", 12.0)
    ),
    "deep inside an unreliable lesion": withholds(
        tool("Stylus", reading("A", 12.0), reading("B", -15.0, CUT_OFF)), reasons=(ReasonCode.CUT_OFF,), margin_mm=5.0
    ),
    "inside a sound lesion": shows(tool("Stylus", reading("A", -4.0)), of=("Stylus", "A", -4.0), margin_mm=5.0),
    "inside a sound lesion, an unreliable one beside": shows(
        tool("Stylus", reading("A", -4.0), reading("B", 1.0, CUT_OFF)), of=("Stylus", "A", -4.0), margin_mm=5.0
    ),
    "two unreliable lesions, the nearest is told": withholds(
        tool("Stylus", reading("A", 12.0), reading("B", 9.0, CUT_OFF), reading("C", 6.0, NOT_INSONIFIED)),
        reasons=(ReasonCode.NOT_INSONIFIED,),
        margin_mm=10.0,
    ),
    "stale segmentation nearer": withholds(
        tool("Stylus", reading("A", 12.0), reading("B", 4.0, OUT_OF_DATE)),
        reasons=(ReasonCode.OUT_OF_DATE,),
        margin_mm=5.0,
    ),
    "only a stale segmentation": withholds(
        tool("Stylus", reading("A", 12.0, OUT_OF_DATE)), reasons=(ReasonCode.OUT_OF_DATE,)
    ),
    "nothing found": withholds(
        tool("Stylus", reading("A", 0.0, NOTHING_FOUND, has_surface=False)), reasons=(ReasonCode.NOTHING_FOUND,)
    ),
    "nothing found beside a sound lesion": shows(
        tool("Stylus", reading("A", 12.0), reading("B", 0.0, NOTHING_FOUND, has_surface=False)),
        of=("Stylus", "A", 12.0),
    ),
    "segmentation that cannot be measured to": withholds(
        tool(
            "Stylus", reading("A", 12.0), reading("B", 0.0, Reason(ReasonCode.NOT_MEASURABLE, {"text": "open"}), False)
        ),
        reasons=(ReasonCode.NOT_MEASURABLE,),
    ),
    "no instrument": withholds(reasons=(ReasonCode.NO_INSTRUMENT,)),
    "no target": withholds(tool("Stylus"), reasons=(ReasonCode.NO_TARGET,)),
    "sensor not tracked": withholds(
        tool("Stylus", unreliable_reason=SENSOR_LOST),
        sensor_unreliable_reason=SENSOR_LOST,
        reasons=(ReasonCode.NOT_TRACKED,),
    ),
    "sensor came off": withholds(
        tool("Stylus", unreliable_reason=STILL), sensor_unreliable_reason=STILL, reasons=(ReasonCode.SENSOR_STILL,)
    ),
    "instrument jumped": alone(Reason(ReasonCode.JUMPED, {"mm": 40.0})),
    "instrument not tracked": alone(Reason(ReasonCode.NOT_TRACKED)),
    "no pose": alone(Reason(ReasonCode.NO_RECENT_POSE, {"seconds": 1.3})),
    "two tools under one name": alone(Reason(ReasonCode.AMBIGUOUS_NAME)),
    "position without an orientation": alone(Reason(ReasonCode.POSITION_ONLY)),
    "late": alone(Reason(ReasonCode.LATE, {"seconds": 0.9})),
    "not rigid": alone(Reason(ReasonCode.SCALED, {"factor": 1.1, "transform": "StylusToReference"})),
    "two instruments, one invalid": shows(
        tool("Stylus", unreliable_reason=Reason(ReasonCode.NOT_TRACKED)),
        tool("Knife", reading("A", 12.0)),
        of=("Knife", "A", 12.0),
    ),
    "two instruments, both invalid": withholds(
        tool("Stylus", unreliable_reason=Reason(ReasonCode.NOT_TRACKED)),
        tool("Knife", unreliable_reason=Reason(ReasonCode.TURNED, {"degrees": 90.0})),
        reasons=(ReasonCode.NOT_TRACKED, ReasonCode.TURNED),
    ),
    "two instruments, an unreliable lesion nearer to the other": withholds(
        tool("Stylus", reading("A", 12.0), reading("B", 60.0, CUT_OFF)),
        tool("Knife", reading("A", 40.0), reading("B", 8.0, CUT_OFF), place=(0.0, 9.0, 0.0)),
        reasons=(ReasonCode.CUT_OFF,),
        margin_mm=10.0,
    ),
    "two instruments, an unreliable lesion nearer to the one that is farther": shows(
        tool("Stylus", reading("A", 6.0), reading("B", 60.0, CUT_OFF)),
        tool("Knife", reading("A", 40.0), reading("B", 20.0, CUT_OFF), place=(0.0, 9.0, 0.0)),
        of=("Stylus", "A", 6.0),
        margin_mm=10.0,
    ),
    "two instruments, an unreliable lesion nearer to the other than a third one": shows(
        tool("Stylus", reading("A", 12.0)),
        tool("Knife", reading("B", 20.0, CUT_OFF), reading("C", 25.0), reading("A", 60.0), place=(0.0, 9.0, 0.0)),
        of=("Stylus", "A", 12.0),
    ),
    "sensor not watched": shows(tool("Stylus", reading("A", 12.0)), of=("Stylus", "A", 12.0), warnings=(UNWATCHED,)),
    "sensor not watched and nothing shown": withholds(
        tool("Stylus"), reasons=(ReasonCode.NO_TARGET,), warnings=(UNWATCHED,)
    ),
    "other source": shows(tool("Stylus", reading("A", 12.0)), of=("Stylus", "A", 12.0), warnings=(OTHER_SOURCE,)),
    "model without calibration": shows(
        tool("Stylus", reading("A", 12.0)), of=("Stylus", "A", 12.0), warnings=(UNCALIBRATED,)
    ),
}


class Told:
    """A navigator that has measured what the table says."""

    def __init__(self, situation):
        self.situation, self.margins_mm, self.warnings = situation, MARGINS_MM, ()

    def update(self, now_s):
        return self.situation


class View:
    """Of a qMRMLThreeDView what the corner annotation needs."""

    def __init__(self):
        self.annotation = vtk.vtkCornerAnnotation()

    def cornerAnnotation(self):  # noqa: N802
        return self.annotation

    def scheduleRender(self):  # noqa: N802
        pass


@pytest.fixture(params=SIGHTS.values(), ids=SIGHTS.keys())
def case(request):
    return request.param


@pytest.fixture
def shown_in(workspace, case):
    """The workspace that has taken a turn in the situation."""
    workspace.navigation.navigator = Told(case.situation)
    workspace.navigation.update({})
    for _ in range(4):  # a tool, or the line, each time
        workspace.navigation.prepare()
    workspace.navigation.show()
    assert workspace.navigation.situation is case.situation
    return workspace


def test_rule(case):
    shown = case.situation.displayed
    nearest = shown.nearest and (shown.nearest[0].instrument.frame, shown.nearest[1].lesion)
    assert nearest == (case.shown and case.shown[:2])
    assert tuple(withheld.reason.code for withheld in shown.withheld) == case.reasons
    assert (shown.margin_mm, shown.warnings) == (case.margin_mm, case.warnings)
    assert (case.situation.nearest is None) == (case.shown is None)


def test_lines_of_the_lesions(case):
    distances = lesion_distances(case.situation)
    assert bool(distances) == (case.shown is not None)
    if case.shown is not None:
        state, reading = distances[case.shown[1]]
        assert (state.instrument.frame, reading.interval.distance_mm) == (case.shown[0], case.shown[2])
    for withheld in (*case.situation.displayed.withheld, *case.situation.displayed.others):
        assert withheld.lesion not in distances


def test_panel(case, shown_in):
    distance = distance_of(shown_in)
    assert distance.number == ("–" if case.shown is None else f"{case.shown[2]:.0f} mm".replace("-", "−"))
    assert bool(distance.interval) == (case.shown is not None)
    for withheld in case.situation.displayed.withheld:
        assert str(withheld.reason) in distance.words
    for warning in case.warnings:
        assert str(warning) in distance.warning


def test_lines_of_the_instruments_hold_no_number_that_is_withheld(case, shown_in):
    text = instruments_text(shown_in, None)
    if case.shown is None:
        assert "named, " not in text
        assert all(f"{r.interval.distance_mm:.0f} mm (" not in text for r in sound_readings(case))
    else:
        frame, lesion, distance_mm = case.shown
        assert f"{frame}: {distance_mm:.0f} mm (".replace("-", "−") in text
        assert f"to {lesion} named" in text
    assert "40 mm (" not in text  # the other instrument, to which an unreliable lesion is nearer


def test_line_in_the_scene(case, shown_in):
    node = find_node(shown_in.scene, "vtkMRMLModelNode", "Distance")
    is_drawn = node is not None and bool(node.GetDisplayNode().GetVisibility())
    assert is_drawn == (case.shown is not None)
    if is_drawn:
        colour = distance_of(shown_in).colour
        assert node.GetDisplayNode().GetColor() == pytest.approx(colour)
        assert colour == distance_colour(case.margin_mm, MARGINS_MM)


def test_corner_annotation(case, shown_in):
    view = View()
    CornerAnnotation(view).show(distance_of(shown_in))
    text = view.annotation.GetText(CORNER)
    assert text.splitlines()[0] == distance_of(shown_in).text
    assert ("–" in text.splitlines()[0][:1]) == (case.shown is None)
    assert ("not watched" in " ".join(text.split())) == (UNWATCHED in case.warnings)


def test_sound_warns_of_the_margin_that_gives_the_colour(case, shown_in, clock):
    sound = MarginAlarm(shown_in, clock).update()
    assert sound == {None: "", 10.0: "outer", 5.0: "inner"}[case.margin_mm]
    assert shown_in.navigation.narrowest_margin_mm == case.margin_mm


def test_slices_follow_the_tip_that_the_number_or_its_reason_is_about(case, shown_in):
    focus = case.situation.displayed.focus
    if case.shown is not None:
        assert focus.instrument.frame == case.shown[0]
    if case.situation.displayed.focus is not None:
        assert shown_in.navigation.focus_ras_mm == pytest.approx(focus.tip_ras_mm)


@pytest.fixture
def recorded(shown_in, clock, tmp_path):
    """The folder of a recording that has seen the situation."""
    recorder = SessionRecorder(tmp_path / "session", clock=clock)
    EventWriter(shown_in, recorder, clock).write(DistancesUpdated(shown_in.navigation.situation))
    recorder.close()
    return tmp_path / "session"


def test_recorder(case, recorded):
    tips = [event.about for event in SessionReader(recorded).events if event.event == "tip distance"]
    if case.shown is not None:
        (tip,) = tips
        assert (tip["instrument"], tip["lesion"], tip["distance_mm"]) == case.shown
    elif case.situation.instruments:
        (tip,) = tips
        assert (tip["lesion"], tip["distance_mm"]) == (None, None)
        assert [reason["code"] for reason in tip["withheld"]] == [reason.value for reason in case.reasons]
    else:
        assert tips == []
    for tip in tips:
        assert [warning["code"] for warning in tip["cautions"]] == [warning.code.value for warning in case.warnings]


def test_session_report(case, recorded):
    session_log = SessionReader(recorded)
    document = document_of(session_log, histories_of(session_log.events))
    numbers = [row[3] for row in document["tip_distances"] if row[3] is not None]
    assert numbers == ([] if case.shown is None else [case.shown[2]])
    rows = [row["of"] for row in document["events"] if row["what"] == "distance withheld"]
    lesions = [withheld.lesion for withheld in case.situation.displayed.withheld if withheld.lesion]
    assert rows == ([", ".join(lesions)] if lesions else [])
    assert document["cautions"] == [str(warning) for warning in case.warnings]
    nearest = {entry["lesion"]: entry["nearest_tip"] for entry in document["lesions"] if entry["nearest_tip"]}
    if case.shown is None:
        assert nearest == {}
    else:
        assert nearest.keys() == {case.shown[1]}, "the table measures to no other lesion without a doubt"
        assert nearest[case.shown[1]]["distance_mm"] == case.shown[2]


def test_report_of_the_lesions(case, shown_in):
    approaches = shown_in.navigation.approaches
    for lesion in {r.lesion for state in case.situation.instruments for r in state.readings}:
        entry = navigation_entry(approaches, lesion, MARGINS_MM)
        near = None if entry is None else entry["distance_mm"]
        if case.shown is None:
            assert near is None
        elif lesion == case.shown[1]:
            assert near == case.shown[2]
            assert entry["cautions"] == [str(warning) for warning in case.warnings]
        else:
            assert near is None


def sound_readings(case):
    return [r for state in case.situation.instruments for r in state.readings if r.interval is not None]


def test_table_holds_a_situation_of_each_reason_why_a_distance_is_withheld():
    told = {reason for case in SIGHTS.values() for reason in case.reasons}
    of_poses = {
        ReasonCode.NO_PATH,
        ReasonCode.MIRRORED,
        ReasonCode.SHEARED,
        ReasonCode.NOT_FINITE,
        ReasonCode.NOT_A_TRANSFORM,
    }
    elsewhere = {ReasonCode.NO_SURFACE, ReasonCode.NEARER_UNRELIABLE, ReasonCode.OTHER}
    warnings = {ReasonCode.SENSOR_NOT_SENT, ReasonCode.OTHER_SOURCE, ReasonCode.UNCALIBRATED}
    assert told == set(ReasonCode) - of_poses - elsewhere - warnings
