"""Figures, tables and page of a study, from drawn rows."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from CRLMSegmentationLib.core.errors import CrlmError
from CRLMSegmentationLib.core.metrics import ROC_FALSE_POSITIVES
from CRLMSegmentationLib.research.study.agreement import volume_agreement
from CRLMSegmentationLib.research.study.page import study_figures, write_study_page
from CRLMSegmentationLib.research.study.roc import roc_of
from CRLMSegmentationLib.research.study.settings import METHODS
from CRLMSegmentationLib.research.study.style import COLOURS
from CRLMSegmentationLib.research.study.tables import summary_of, write_results, write_tables
from helpers.study_helpers import FIGURE_NAMES, draw_results
from PIL import Image


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return draw_results(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def figures(results):
    return study_figures(results, [])


def page_of(results, folder, figures=None):
    path = folder / "study.html"
    write_study_page(path, results, figures or dict.fromkeys(FIGURE_NAMES, b"PNG"))
    return path.read_text()


def nothing_found(rows):
    """As if no lesion had been found by anybody."""
    empty = ("hausdorff_mm", "hausdorff95_mm", "mean_surface_mm", "precision")
    for row in rows:
        row["metrics"] |= {**dict.fromkeys(empty), "dice": 0.0, "recall": 0.0, "rvd": -1.0, "auc_hard_volume": 0.5}
        row |= {"volume_ml": 0.0, "detected": False, "confidence": None}
    return rows


def without_answers(rows):
    """The first lesion of each method has none."""
    rows[0] |= {"metrics": None, "roc": None, "volume_ml": None, "seconds": None, "error": "the worker died"}
    return rows


def test_every_section_and_picture_says_that_data_is_simulated(results, figures, tmp_path):
    page = page_of(results, tmp_path, figures)
    sections = page.split("<section>")[1:]
    assert len(sections) >= 9
    published = [text for text in sections if "Published figures" in text]
    assert len(published) == 1
    assert "cannot be compared" in published[0]
    assert all('<span class="badge">simulated data</span>' in text for text in sections if text not in published)
    assert len(re.findall(r"<figcaption>Simulated data\.", page)) == page.count("<figcaption>")
    assert "not for clinical use" in page


def test_paper_is_named_as_not_comparable_wherever_its_figures_are(results, tmp_path):
    page = page_of(results, tmp_path)
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page, re.S)
    of_the_paper = [text for text in captions if "paper" in text]
    assert len(of_the_paper) == 2
    assert all("not comparable" in text for text in of_the_paper)


def test_page_fetches_nothing(results, tmp_path):
    page = page_of(results, tmp_path)
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "default-src 'none'" in page


def test_page_holds_the_figures_of_each_method(results, tmp_path):
    page = page_of(results, tmp_path)
    for method in METHODS:
        assert f"{results['figures'][method]['all']['all']['dice']['median']:.3f}" in page
    assert page.count("crop − full volume") == 8  # Dice and seven other measures


def test_user_who_sees_the_truth_is_told_of(results, tmp_path):
    assert "sees the reference segmentation, an oracle, which favours it" in page_of(results, tmp_path)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("change", [nothing_found, without_answers], ids=["nothing found", "without answers"])
def test_page_and_figures_stand_missing_values(change, tmp_path):
    found = draw_results(tmp_path, change=change)
    figures = study_figures(found, [])
    assert set(figures) == {*FIGURE_NAMES, "differences", "learning-curves"}
    page = page_of(found, tmp_path, figures)
    assert not re.search(r"\b(nan|None)\b", re.sub(r"base64,[^\"]*", "", page))
    assert summary_of(found)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("methods", [("grow-cut",), ("crop",), ("full", "region-growing")])
def test_page_and_figures_of_few_methods(methods, tmp_path):
    found = draw_results(tmp_path, methods=methods)
    figures = study_figures(found, [])
    assert ("differences" in figures) == (len(methods) > 1)
    assert ("learning-curves" in figures) == (methods != ("grow-cut",))
    page_of(found, tmp_path, figures)


def test_figures_are_wide_enough_to_be_read(figures):
    for name, image in figures.items():
        assert Image.open(io.BytesIO(image)).width >= 1000, name


def test_page_shows_what_clicks_gain(results, tmp_path):
    page = page_of(results, tmp_path)
    assert "After more clicks" in page
    for method in ("crop+clicks", "grow-cut"):
        after = [f"{spread['median']:.3f}" for spread in results["clicks"][method]["groups"]["all"]["all"]["dice"]]
        assert after == sorted(after)
        assert all(value in page for value in after)
    without = {**results, "clicks": dict.fromkeys(results["clicks"])}
    assert "After more clicks" not in page_of(without, tmp_path)


@pytest.mark.usefixtures("coarse")
def test_figures_are_the_same_each_time(results):
    assert study_figures(results, []) == study_figures(results, [])


@pytest.mark.parametrize("name", ["dice-by-method", "dice-by-echogenicity", "roc", "volumes"])
def test_method_has_its_colour_in_every_figure(name, figures):
    image = Image.open(io.BytesIO(figures[name])).convert("RGB")
    found = {f"#{r:02X}{g:02X}{b:02X}" for _, (r, g, b) in image.getcolors(image.width * image.height)}
    assert set(COLOURS.values()) <= found


def test_table_has_a_line_for_each_method_group_and_measure(results, tmp_path):
    write_tables(tmp_path / "tables.csv", results)
    lines = list(csv.DictReader((tmp_path / "tables.csv").open()))
    dice = [line for line in lines if line["measure"] == "dice" and line["by"] == "all"]
    assert [line["method"] for line in dice] == list(METHODS)
    expected = results["figures"]["crop"]["all"]["all"]["dice"]
    assert float(dice[1]["median"]) == pytest.approx(expected["median"], abs=1e-6)
    assert float(dice[1]["interval_high"]) == pytest.approx(expected["interval"][1], abs=1e-6)
    assert {line["by"] for line in lines} == {"all", "echogenicity", "size"}


def test_results_with_a_key_that_nobody_documented_are_refused(results, tmp_path):
    with pytest.raises(CrlmError, match="must have the keys"):
        write_results(tmp_path / "results.json", {**results, "secret": 1})


def test_examples_are_best_median_and_worst_of_the_main_method(results):
    dice = sorted((row["metrics"]["dice"] for row in results["lesions"]["crop+seed"]), reverse=True)
    chosen = [example["dice"]["crop+seed"] for example in results["examples"]]
    assert results["examples_by"] == "crop+seed"
    assert chosen == [dice[0], dice[len(dice) // 2], dice[-1]]


def test_terminal_shows_each_method_once(results):
    lines = summary_of(results)
    assert all(sum(line.split()[:1] == [method] for line in lines) == 1 for method in METHODS)
    assert "simulated" in lines[0]


def rows_of(volumes):
    return [{"volume_ml": mask, "truth_ml": truth, "patient": f"P{n}"} for n, (mask, truth) in enumerate(volumes)]


def test_twice_too_large_and_half_as_large_cancel_out():
    found = volume_agreement(rows_of([(2.0, 1.0), (5.0, 10.0)]), seed=0, draws=0)
    assert found["ratio"] == pytest.approx(1.0)
    deviation = np.sqrt(2) * np.log(2)  # of log 2 and -log 2, with one degree of freedom
    assert found["limits"] == pytest.approx([np.exp(-1.96 * deviation), np.exp(1.96 * deviation)])


def test_lesion_that_was_not_found_has_no_ratio_but_is_counted():
    found = volume_agreement(rows_of([(0.0, 1.0), (3.0, 1.0)]), seed=0, draws=0)
    assert (found["lesions"], found["nothing_found"], found["limits"]) == (1, 1, None)
    assert found["ratio"] == pytest.approx(3.0)


def test_mean_curve_and_point_of_the_mask_by_hand():
    low, high = ([value] * len(ROC_FALSE_POSITIVES) for value in (0.2, 0.6))
    areas = {"auc_hard_crop": 0.85, "auc_hard_volume": None}
    rows = [{"metrics": {"recall": 0.8, **areas}, "roc": {"crop": curve, "volume": None}} for curve in (low, high)]
    found = roc_of({"crop": [*rows, {"metrics": {"recall": 0.8, **areas}, "roc": None}]})
    crop = found["crop"]["methods"]["crop"]
    assert (crop["lesions"], crop["recall"][0]) == (2, 0.4)
    assert crop["mask"]["lesions"] == 3
    assert crop["mask"]["false_positive_rate"] == pytest.approx(0.1)  # specificity 2 * 0.85 - 0.8
    assert found["volume"]["methods"]["crop"]["recall"] is None
    assert found["volume"]["methods"]["crop"]["mask"]["recall"] is None
