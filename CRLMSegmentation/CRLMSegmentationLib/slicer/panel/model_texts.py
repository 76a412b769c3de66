"""Texts and choices of the panel's section Model, in the user's language: rich text, without Qt."""

from __future__ import annotations

import html
from dataclasses import dataclass

from ...core.crop_format import CLICK_CHANNELS
from ...core.i18n import tr as _
from ...segmentation.models.package import ModelPackage, takes_points
from ..rich_text import rich_line
from ..state import State
from ..workspace.models import Models, key_of
from ..workspace.workspace import Workspace

HASH_DIGITS = 8


@dataclass(frozen=True)
class ModelView:
    """What the widgets of the panel show, by their names.

    Attributes:
        choices: text, key, tooltip and usability of each entry of the combo box.
        chosen: key of the entry that is shown.
    """

    choices: list[tuple[str, str, str, bool]]
    chosen: str
    texts: dict[str, str]
    visible: dict[str, bool]
    enabled: dict[str, bool]


def model_view(workspace: Workspace | None, models: Models, is_answered: bool) -> ModelView:
    """Return what the section Model shows now.

    Args:
        is_answered: the user has said what the channels are.
    """
    region = region_text(workspace)
    return ModelView(
        choices=choice_texts(models),
        chosen=chosen_key(workspace, models),
        texts={
            "modelInfoLabel": model_text(workspace, models),
            "importLabel": import_text(models),
            "regionLabel": region,
            "channelsCheckBox": _answer_text(models.asked_channels),
        },
        visible={
            "cropSizeLabel": not region,
            "cropSizeSlider": not region,
            "regionLabel": bool(region),
            "importFrame": models.importing is not None,
            "channelsCheckBox": bool(models.asked_channels),
            "importAgainButton": bool(models.asked_channels),
        },
        enabled={
            "importFileButton": not models.is_importing,
            "importFolderButton": not models.is_importing,
            "importAgainButton": is_answered,
        },
    )


def chosen_key(workspace: Workspace | None, models: Models) -> str:
    """Return the key of the model in use; without a workspace, of the one that will be used."""
    if workspace is not None:
        return key_of(workspace.session.model)
    return models.wanted or next((choice.key for choice in models.choices if choice.is_default), "")


def choice_texts(models: Models) -> list[tuple[str, str, str, bool]]:
    """Return text, key, tooltip and usability of each entry of the combo box."""
    bad = _("{name}: cannot be used")
    return [(c.text if c.usable else bad.format(name=c.text), c.key, c.tooltip, c.usable) for c in models.choices]


def model_text(workspace: Workspace | None, models: Models) -> str:
    """Describe the model in use, and say why others cannot be used."""
    lines = _lines_of(workspace.session.model) if workspace else [html.escape(_("No model is loaded yet."))]
    bad = [_("{name}: {reason}").format(name=c.text, reason=c.tooltip) for c in models.choices if not c.usable]
    return "<br>".join([*lines, *(rich_line(State.ERROR, text) for text in bad)])


def region_text(workspace: Workspace | None) -> str:
    """Return the text in place of the crop size where the model sees the whole volume; else empty."""
    if workspace is None or not workspace.requests.sees_whole_volume:
        return ""
    return _("The model looks at the whole volume; the lesion at the seed is taken from its answer.")


def import_text(models: Models) -> str:
    """Describe how far an import is, or what it has to ask; empty without one."""
    if models.importing is None:
        return ""
    if models.asked_channels == CLICK_CHANNELS:
        text = _("{name} sees four channels, and does not say what they are. Is it corrected by points?")
        return text.format(name=models.importing.name)
    if models.asked_channels:
        text = _("{name} sees two channels, and does not say what the second is. Is it the map of the seed?")
        return text.format(name=models.importing.name)
    text = _("Importing {name}, {seconds:.0f} s")
    return text.format(name=models.importing.name, seconds=models.import_s)


def _answer_text(channels: tuple[str, ...]) -> str:
    """Return the answer that the user may tick."""
    if channels == CLICK_CHANNELS:
        return _("They are ultrasound, include, exclude, previous segmentation")
    return _("The second channel is the map of the seed")


def _lines_of(model: ModelPackage) -> list[str]:
    if model.region == "volume":
        region = _("Looks at the whole volume")
    else:
        region = _("Looks at a cube of {size:.0f} mm around the seed").format(size=model.crop_size_mm)
    if takes_points(model):
        shown = _("and at points that correct it")
    else:
        shown = _("and at the map of the seed") if len(model.channels) > 1 else _("and at the ultrasound alone")
    return [
        f"<b>{html.escape(model.name)}</b> {html.escape(model.version)}, {model.sha256[:HASH_DIGITS]}",
        _data_text(model),
        html.escape(_("Intended use: {text}").format(text=model.intended_use)),
        html.escape(f"{region}, {shown}."),
    ]


def _data_text(model: ModelPackage) -> str:
    if model.simulated_only:
        return rich_line(State.WARNING, _("Trained on simulated data only: not for decisions about patients"))
    facts = {key: value for key, value in model.trained_on.items() if isinstance(value, (str, int))}
    facts.pop("simulated", None)
    told = ", ".join(f"{key} {value}" for key, value in facts.items()) or _("unknown data")
    text = _("Trained on {data}").format(data=told)
    if model.trained_on.get("simulated") is None:
        return rich_line(State.WARNING, _("{text}; nobody has stated whether it has seen patients").format(text=text))
    return rich_line(State.OK, text)
