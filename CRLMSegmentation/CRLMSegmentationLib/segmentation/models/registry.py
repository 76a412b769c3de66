"""Registry of installed models: those shipped with the program, and those that a user has imported.

Imported ones lie in one folder each below `models_folder`, beside `default.json`, which names the model to use where
none is named. Nothing here loads torch.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...core.errors import CrlmError, ModelError
from ...core.hashing import sha256_of
from ...core.json_fields import ANY_TEXT, NAME, check_object
from ...core.json_files import read_json_object
from ...core.resources import resource_path
from .package import MANIFEST, ModelPackage, default_model_package, load_model_package, read_model_package

FOLDER_VARIABLE = "CRLM_MODELS"
DEFAULT_FILE = "default.json"
RECORD = "imported.json"
"""In the folder of an imported model: from what, when, and the hash of its manifest."""

RECORD_FIELDS = {
    "name": NAME.or_absent(),
    "version": NAME.or_absent(),
    "sha256": ANY_TEXT.or_absent(),
    "manifest_sha256": ANY_TEXT.or_absent(),
}
"""Of both files; neither has all of them."""


@dataclass(frozen=True)
class InstalledModel:
    """An installed model, usable or not.

    Attributes:
        package: as its manifest says, files not hashed; None if that cannot be read.
        problem: why it cannot be used, or None.
        shipped: it came with the program, and stays.
        imported: by this program, so that it can be removed.
    """

    folder: Path
    package: ModelPackage | None
    problem: str | None
    shipped: bool
    imported: bool
    is_default: bool = False

    @property
    def key(self) -> str:
        """The text by which `find_model` finds it, such as "crlm-crop-phantom@2"."""
        return f"{self.package.name}@{self.package.version}" if self.package else self.folder.name


def models_folder(must_exist: bool = True) -> Path:
    """Return the folder of imported models: $CRLM_MODELS, else the system's place for data of a user's programs.

    Args:
        must_exist: False for whoever is about to make it.

    Raises:
        ModelError: the variable names no folder; the models in it would be missed in silence.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        if must_exist and not Path(named).is_dir():
            raise ModelError(f"{FOLDER_VARIABLE} names {named}, which is no folder; make it, or unset the variable")
        return Path(named).resolve()
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "CRLMSegmentation" / "models"


def installed_models() -> list[InstalledModel]:
    """List all models, the shipped ones first, without hashing their files.

    Raises:
        ModelError: see `models_folder`.
    """
    models = [_installed(folder, shipped=True) for folder in _folders_in(_shipped_folder())]
    models += [_installed(folder, shipped=False) for folder in _folders_in(models_folder())]
    models = [_with_collision(model, models) for model in models]
    default = _default_key(models)
    return [replace(model, is_default=model.package is not None and model.key == default) for model in models]


def is_shipped(package: ModelPackage) -> bool:
    """Whether a model is one that came with the program, wherever it lies."""
    shipped = [_installed(folder, shipped=True).package for folder in _folders_in(_shipped_folder())]
    return any(model is not None and model.sha256 == package.sha256 for model in shipped)


def find_model(wanted: Path | str | None = None) -> ModelPackage:
    """Load and verify a model.

    Args:
        wanted: folder of a package; or name of an installed one, as name@version where there are several of that
            name; None for the default.

    Raises:
        ModelError: there is none, several fit, or it is damaged. No other model is taken instead.
    """
    if wanted is None:
        return default_package()
    text = str(wanted)
    folder = Path(text).resolve()
    if len(Path(text).parts) > 1:
        return load_model_package(folder)
    fitting = _fitting(text)
    if fitting and (folder / MANIFEST).is_file() and all(model.folder != folder for model in fitting):
        raise ModelError(f"{text} is an installed model and a folder here; give the whole path, or name@version")
    if folder.exists() and not fitting:
        return load_model_package(folder)
    return _loaded(_only(fitting, text))


def default_package() -> ModelPackage:
    """The model to use where none is named: the chosen one, else the shipped one.

    Raises:
        ModelError: the chosen one is gone, changed or damaged; no other is taken instead.
    """
    choice = _chosen_default()
    if choice is None:
        return default_model_package()
    key = _key_of(choice)
    fitting = _fitting(key)
    if not fitting:
        raise ModelError(f"the default model {key} is not installed any more; import it, or choose another default")
    package = _loaded(_only(fitting, key))
    if package.sha256 != choice.get("sha256"):
        raise ModelError(f"the default model {key} is not the one that was chosen; look at it, and choose it again")
    return package


def verify_models(wanted: str | None = None) -> list[InstalledModel]:
    """Hash every file of one model or of all, and say in `problem` what is wrong.

    Raises:
        ModelError: no such model.
    """
    models = installed_models() if wanted is None else [_only(_fitting(wanted), wanted)]
    return [_verified(model) for model in models]


def remove_model(wanted: str) -> InstalledModel:
    """Delete a model that was imported.

    Raises:
        ModelError: no such model, it was not imported, or it is the default.
    """
    model = _only(_fitting(wanted), wanted)
    if model.shipped:
        raise ModelError(f"{model.key} belongs to the program and stays")
    if not model.imported:
        raise ModelError(f"{model.key} was not imported but put into {model.folder} by hand; delete that yourself")
    if model.is_default:
        raise ModelError(f"{model.key} is the default; choose another default first")
    leaving = model.folder.with_name(f".removed-{model.folder.name}")
    try:
        shutil.rmtree(leaving, ignore_errors=True)
        os.replace(model.folder, leaving)  # at once, lest half a model stay
        shutil.rmtree(leaving)
    except OSError as error:
        raise ModelError(f"{model.key} cannot be deleted: {error}; close what uses it") from error
    return model


def set_default(wanted: str | None) -> ModelPackage:
    """Choose the model to use where none is named; None for the shipped one.

    Raises:
        ModelError: no such model, or it is damaged.
    """
    folder = models_folder(must_exist=False)
    if wanted is None:
        package = default_model_package()
        (folder / DEFAULT_FILE).unlink(missing_ok=True)
        return package
    package = _loaded(_only(_fitting(wanted), wanted))
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".unfinished-{DEFAULT_FILE}"
    choice = {"name": package.name, "version": package.version, "sha256": package.sha256}
    scratch.write_text(json.dumps(choice, indent=1) + "\n", encoding="utf-8")
    os.replace(scratch, folder / DEFAULT_FILE)
    return package


def _shipped_folder() -> Path | None:
    try:
        return resource_path("Models")
    except CrlmError:  # installed by pip, without resources
        return None


def _folders_in(folder: Path | None) -> list[Path]:
    if folder is None or not folder.is_dir():
        return []
    return sorted(p.resolve() for p in folder.iterdir() if (p / MANIFEST).is_file() and not p.name.startswith("."))


def _installed(folder: Path, shipped: bool) -> InstalledModel:
    imported = not shipped and (folder / RECORD).is_file()
    try:
        return InstalledModel(folder, read_model_package(folder), None, shipped, imported)
    except ModelError as error:
        return InstalledModel(folder, None, str(error), shipped, imported)


def _with_collision(model: InstalledModel, models: list[InstalledModel]) -> InstalledModel:
    others = [other for other in models if model.package and other.key == model.key and other is not model]
    if not others:
        return model
    return replace(model, problem=f"{model.key} is installed twice, also in {others[0].folder}; remove one of them")


def _fitting(text: str) -> list[InstalledModel]:
    """Return the models that a text names: by name, by name and version, or else by the name of the folder."""
    models = installed_models()
    named = [m for m in models if text == m.key or (m.package is not None and text == m.package.name)]
    return named or [model for model in models if text == model.folder.name]


def _only(fitting: list[InstalledModel], text: str) -> InstalledModel:
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        known = "; ".join(f"{model.key} in {model.folder}" for model in fitting)
        raise ModelError(f"{len(fitting)} models are called {text}, name one of them: {known}")
    known = ", ".join(model.key for model in installed_models()) or "none"
    raise ModelError(f"no model {text} is installed, nor is it a folder with a {MANIFEST}; installed: {known}")


def _loaded(model: InstalledModel) -> ModelPackage:
    checked = _verified(model)
    if checked.package is None or checked.problem is not None:
        raise ModelError(checked.problem or f"{model.key} could not be loaded; install it again")
    return checked.package


def _verified(model: InstalledModel) -> InstalledModel:
    if model.problem is not None:
        return model
    try:
        package = load_model_package(model.folder)
        _check_record(model)
    except ModelError as error:
        return replace(model, problem=str(error))
    return replace(model, package=package)


def _check_record(model: InstalledModel) -> None:
    """Check the hash of the manifest, recorded at import; it holds the hashes of the other files."""
    if not model.imported:
        return
    expected = _read_record(model.folder / RECORD).get("manifest_sha256")
    if sha256_of(model.folder / MANIFEST) != expected:
        raise ModelError(f"{MANIFEST} of {model.key} was changed since it was imported; import the model again")


def _read_record(path: Path) -> dict[str, Any]:
    content = read_json_object(path, ModelError, "delete it, or repair it")
    check_object(content, RECORD_FIELDS, f"{path}: ", ModelError)
    return content


def _chosen_default() -> dict[str, Any] | None:
    path = models_folder() / DEFAULT_FILE
    return _read_record(path) if path.is_file() else None


def _default_key(models: list[InstalledModel]) -> str | None:
    """Return the key of the default model; None where the file of the choice cannot be read."""
    try:
        choice = _chosen_default()
    except ModelError:
        return None
    if choice is None:
        shipped = [model.key for model in models if model.shipped]
        return shipped[0] if len(shipped) == 1 else None
    key, sha256 = _key_of(choice), choice.get("sha256")
    return next((m.key for m in models if m.package and m.key == key and m.package.sha256 == sha256), None)


def _key_of(choice: dict[str, Any]) -> str:
    return f"{choice.get('name')}@{choice.get('version')}"
