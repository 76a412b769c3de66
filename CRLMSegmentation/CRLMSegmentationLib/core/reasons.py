"""Reasons why a distance, a pose or a segmentation must not be used, with their parameters and their sentences.

Programs compare its code; a sentence is made only for people: `str(reason)` is the untranslated English for
logs, recordings and reports, `translated` the user's language for the panel. Both come from the same table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from .i18n import tr


class ReasonCode(Enum):
    """Which reason it is. Recordings, reports and scenes store the values, which stay when sentences change."""

    # of a pose
    NOT_TRACKED = "not-tracked"
    NO_RECENT_POSE = "no-recent-pose"
    LATE = "late"
    JUMPED = "jumped"
    TURNED = "turned"
    NO_PATH = "no-path"
    AMBIGUOUS_NAME = "ambiguous-name"
    POSITION_ONLY = "position-only"
    SCALED = "pose-scales"
    MIRRORED = "pose-mirrors"
    SHEARED = "pose-shears"
    NOT_FINITE = "matrix-not-finite"
    NOT_A_TRANSFORM = "not-a-transform"
    SENSOR_STILL = "sensor-still"
    SENSOR_NOT_SENT = "sensor-not-sent"
    # of a segmentation
    CUT_OFF = "cut-off"
    NOT_INSONIFIED = "not-swept"
    OUT_OF_DATE = "out-of-date"
    NOTHING_FOUND = "nothing-found"
    NO_SURFACE = "no-surface"
    NOT_MEASURABLE = "not-measurable"
    # of what is displayed
    NO_INSTRUMENT = "no-instrument"
    NO_TARGET = "no-target"
    NEARER_UNRELIABLE = "nearer-unreliable"
    OTHER_SOURCE = "other-source"
    UNCALIBRATED = "uncalibrated"
    OTHER = "other"


def _templates(_: Any) -> dict[ReasonCode, str]:
    """Return the sentences by reason; `_` marks them for translators."""
    return {
        ReasonCode.NOT_TRACKED: _("not tracked"),
        ReasonCode.NO_RECENT_POSE: _("no pose for {seconds:.1f} s"),
        ReasonCode.LATE: _("poses come {seconds:.1f} s late"),
        ReasonCode.JUMPED: _("jumped by {mm:.0f} mm"),
        ReasonCode.TURNED: _("jumped by {degrees:.0f} degrees"),
        ReasonCode.NO_PATH: _("no transform from {start} to {goal}"),
        ReasonCode.AMBIGUOUS_NAME: _("two tools or two senders under one name"),
        ReasonCode.POSITION_ONLY: _("the sender gives its position without an orientation"),
        ReasonCode.SCALED: _("pose is not rigid: scales by {factor:.4g} ({transform})"),
        ReasonCode.MIRRORED: _("pose is not rigid: mirrors ({transform})"),
        ReasonCode.SHEARED: _("pose is not rigid: shears, cosine {cosine:.2g} between its axes ({transform})"),
        ReasonCode.NOT_FINITE: _("pose holds NaN or infinity ({transform})"),
        ReasonCode.NOT_A_TRANSFORM: _("pose is singular or not affine ({transform})"),
        ReasonCode.SENSOR_STILL: _("the liver sensor has not moved for {seconds:.0f} s: it may have come off"),
        ReasonCode.SENSOR_NOT_SENT: _("liver sensor not watched: the tracker does not send {transform}"),
        ReasonCode.CUT_OFF: _("the segmentation was cut off by the crop: the tumour may be larger"),
        ReasonCode.NOT_INSONIFIED: _("part of the tumour was not swept: it may be larger there"),
        ReasonCode.OUT_OF_DATE: _("the segmentation is out of date; segment again"),
        ReasonCode.NOTHING_FOUND: _("nothing was found in this volume"),
        ReasonCode.NO_SURFACE: _("there is no segmentation to measure to"),
        ReasonCode.NOT_MEASURABLE: _("the segmentation cannot be measured to: {text}"),
        ReasonCode.NO_INSTRUMENT: _("no tracked instrument"),
        ReasonCode.NO_TARGET: _("no segmentation to measure to"),
        ReasonCode.NEARER_UNRELIABLE: _("{lesion} may be nearer, and its distance is withheld"),
        ReasonCode.OTHER_SOURCE: _("the volume did not come with these tools: do they belong together?"),
        ReasonCode.UNCALIBRATED: _("the interval lacks the model's own error, which was never measured"),
        ReasonCode.OTHER: _("{text}"),
    }


ENGLISH = _templates(str)
EARLIER_SENTENCES = {
    "the outline was cut off by the crop: the tumour may be larger": ReasonCode.CUT_OFF,
    "the outline is out of date; segment it again": ReasonCode.OUT_OF_DATE,
    "there is no outline to measure to": ReasonCode.NO_SURFACE,
    "no outline to measure to": ReasonCode.NO_TARGET,
}
"""Sentences that scenes of earlier versions store, where they have changed since."""
OF_SENSOR = "liver sensor: {sentence}"


@dataclass(frozen=True)
class Reason:
    """A reason with the parameters of its sentence.

    Attributes:
        code: which reason it is, to be compared.
        params: numbers and names by the placeholders of the sentence; lengths in mm, times in s.
        of_sensor: it is about the sensor on the liver, to which all instruments are referred.
    """

    code: ReasonCode
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    of_sensor: bool = False

    def __str__(self) -> str:
        sentence = self.sentence
        return OF_SENSOR.format(sentence=sentence) if self.of_sensor else sentence

    @property
    def sentence(self) -> str:
        """The English sentence, without the words "liver sensor"."""
        return ENGLISH[self.code].format(**self.params)

    @property
    def kind(self) -> tuple[ReasonCode, bool]:
        """A key that stays the same while only the parameters change."""
        return self.code, self.of_sensor

    @property
    def mentions_age(self) -> bool:
        """Whether the sentence contains the time since the problem began."""
        return self.code is ReasonCode.NO_RECENT_POSE

    def about_sensor(self) -> Reason:
        """Return the same reason about the sensor on the liver."""
        return replace(self, of_sensor=True)

    def to_json(self) -> dict[str, Any]:
        """Return what recordings and reports store: the sentence for people, the reason and parameters for programs."""
        return {"reason": self.sentence, "code": self.code.value, "params": dict(self.params)}


def translated(reason: Reason) -> str:
    """Return the sentence in the user's language."""
    sentence = tr(ENGLISH[reason.code]).format(**reason.params)
    return tr(OF_SENSOR).format(sentence=sentence) if reason.of_sensor else sentence


def tag_of_reason(reason: Reason | None) -> str:
    """Return the text that a node's attribute stores: the value of the reason, or an empty text."""
    return "" if reason is None else reason.code.value


def reason_from_tag(tag: str) -> Reason | None:
    """Return the reason of a text that `tag_of_reason` has made; scenes of earlier versions hold the sentence itself.

    A scene stores no parameters: for a reason whose sentence needs some, the tag itself is the sentence.
    """
    if not tag:
        return None
    by_text = {**EARLIER_SENTENCES, **{text: code for code, text in ENGLISH.items()}}
    known = {code.value: code for code in ReasonCode}
    code = known.get(tag) or by_text.get(tag)
    if code is None or "{" in ENGLISH[code]:
        return Reason(ReasonCode.OTHER, {"text": tag})
    return Reason(code)
