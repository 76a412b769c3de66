"""Computes the results of many recorded sessions again, each case as a task; see `rerun`.

OUT/rerun.json           all cases, and those that failed
OUT/CASE/rerun.json      one case; it is there when the case is finished, and not computed again
OUT/CASE/results         its masks
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from ..core.errors import CaseError, JsonError
from ..core.hashing import sha256_of
from ..core.json_files import parse_json, read_json_object
from ..core.output_files import atomic_files, check_output_paths, make_folder
from ..core.parallel import InProcess
from ..core.progress import OnProgress
from ..core.tasks import Done, KeptInProcess, Outcome, TaskFailure, TaskNeeds, TaskRunner, run_tasks
from ..core.volume_files import is_hidden
from ..segmentation.models.package import model_or_default
from ..segmentation.session import Session
from .case import CASE_FILE, is_case_folder
from .case_storage import RemoteCase, RemoteCases
from .rerun import DOCUMENT, Row, rerun_case

NEEDS = TaskNeeds(memory_gb=3.0, is_limited=False, first_alone=True)
"""Of computing one case again."""


@dataclass(frozen=True)
class RerunCase:
    """A recorded case that was computed again.

    Attributes:
        name: of its folder.
        rows: its comparison; empty where it failed.
        problem: why it failed; empty otherwise.
        notes: about recorded results that cannot be used.
    """

    name: str
    rows: tuple[Row, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Computed:
    """What a task gives back: the rows, the files to be written, and what they were made of.

    Attributes:
        files: contents by their paths; None where the case was finished before.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    files: dict[str, bytes] | None
    made_of: str


def rerun_cases(
    place: Path | RemoteCases,
    model: str | None = None,
    out: Path | None = None,
    report: Path | None = None,
    on_progress: OnProgress = lambda *_: None,
    runner: TaskRunner | None = None,
) -> list[RerunCase]:
    """Compute the results of all cases below a folder again.

    Args:
        model: name or folder of the model to use; None for the recorded ones.
        out: folder for the results; cases that are finished there are not computed again.
        report: for all comparisons in one JSON file.
        runner: carries out a task for each case; None for this process.

    Returns:
        The cases by name; what failed says why.

    Raises:
        CaseError: there is no case.
        CrlmError: a place that cannot be written to.
    """
    runner = runner or InProcess()
    sources = _sources_in(place)
    if isinstance(place, Path):
        runner.check_folder(place)
    if out is not None:
        make_folder(out)
    places = [*([out / DOCUMENT] if out else []), *([report] if report else [])]
    check_output_paths(places)
    folders = {source.name: None if out is None else out / _file_name(source.name) for source in sources}
    jobs = [(source, _made_of_before(folders[source.name])) for source in sources]
    done = count(1)

    def handle_outcome(number: int, outcome: Outcome[_Computed]) -> None:
        folder = folders[sources[number].name]
        if isinstance(outcome, Done) and folder is not None and outcome.value.files is not None:
            _write(folder, outcome.value.files)
        on_progress("Cases", next(done), len(sources))

    try:
        outcomes = run_tasks(runner, partial(rerun_task, model, out is not None), jobs, NEEDS, handle_outcome)
    finally:
        _SESSIONS.close()
    cases = [_case_of(source.name, outcome, folders[source.name]) for source, outcome in zip(sources, outcomes)]
    if places:
        with atomic_files(places) as unfinished:
            for path in unfinished:
                path.write_text(json.dumps(_document_of(cases), indent=1) + "\n", encoding="utf-8")
    return cases


_SESSIONS: KeptInProcess[Session] = KeptInProcess()


def rerun_task(model: str | None, keeps_files: bool, job: tuple[Path | RemoteCase, str | None]) -> _Computed:
    """Compute the results of one case again, as a task.

    Args:
        job: the case, and of what its results were made that are there already.
    """
    source, before = job
    notes: list[str] = []
    with nullcontext(source) if isinstance(source, Path) else source.at_hand() as case:
        made_of = _made_of(case, model)
        if made_of == before:
            return _Computed((), (), None, made_of)
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) if keeps_files else None
            rows = rerun_case(case, model, out, on_note=notes.append, sessions=_SESSIONS)
            files = {path.relative_to(scratch).as_posix(): path.read_bytes() for path in _files_in(Path(scratch))}
    if keeps_files:
        document = {**parse_json(files[DOCUMENT]), "made_of": made_of}
        files[DOCUMENT] = (json.dumps(document, indent=1) + "\n").encode()
    return _Computed(tuple(rows), tuple(notes), files, made_of)


def _made_of(case: Path, model: str | None) -> str:
    """Return one hash of the recording and of the model that was asked for."""
    file = case / CASE_FILE
    recording = sha256_of(file) if file.is_file() else None  # `rerun_case` says what to do about one that was killed
    sha256 = None if model is None else model_or_default(model).sha256
    return hashlib.sha256(json.dumps([recording, sha256]).encode()).hexdigest()


def _made_of_before(folder: Path | None) -> str | None:
    if folder is None or not (folder / DOCUMENT).is_file():
        return None
    try:
        return str(read_json_object(folder / DOCUMENT, JsonError).get("made_of"))
    except JsonError:
        return None


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _write(folder: Path, files: dict[str, bytes]) -> None:
    """Write the files of a case, at last the document, which says that the others are there."""
    (folder / DOCUMENT).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == DOCUMENT):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{path.name}.unfinished")
        unfinished.write_bytes(files[name])
        os.replace(unfinished, path)


def _case_of(name: str, outcome: Outcome[_Computed], folder: Path | None) -> RerunCase:
    if isinstance(outcome, TaskFailure):
        return RerunCase(name, problem=outcome.reason)
    computed = outcome.value
    if computed.files is not None or folder is None:
        return RerunCase(name, computed.rows, notes=computed.notes)
    try:
        rows = read_json_object(folder / DOCUMENT, JsonError)["results"]
        return RerunCase(name, tuple(Row(**row) for row in rows))
    except (JsonError, KeyError, TypeError) as error:
        return RerunCase(name, problem=f"{folder / DOCUMENT} is damaged ({error}); remove it, and run again")


def _document_of(cases: Sequence[RerunCase]) -> dict[str, Any]:
    rows = [row for case in cases for row in case.rows]
    return {
        "cases": [
            {"case": case.name, "results": [asdict(row) for row in case.rows]} for case in cases if not case.problem
        ],
        "failed_cases": [{"case": case.name, "problem": case.problem} for case in cases if case.problem],
        "identical": sum(row.identical is True for row in rows),
        "different": sum(row.identical is False and not row.corrected for row in rows),
        "failed": sum(bool(row.problem) for row in rows),
    }


def _sources_in(place: Path | RemoteCases) -> list[Path | RemoteCase]:
    sources: list[Path | RemoteCase] = []
    if isinstance(place, RemoteCases):
        sources += place.cases()
    elif is_case_folder(place):
        sources.append(place)
    elif place.is_dir():
        sources += sorted(p for p in place.iterdir() if not is_hidden(p) and is_case_folder(p))
    if not sources:
        raise CaseError(f"no case in {place}; give a case folder with recorded results, or a folder of them")
    return sources


def _file_name(name: str) -> str:
    """Return the name of a folder below the output; it cannot lead out of it, and names none of its files."""
    safe = re.sub(r"[^\w.-]+", "-", name).strip(".")
    same = safe == name and name != DOCUMENT
    return safe if same else f"{safe}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
