"""Published results on real patients, printed beside a study but not compared with it."""

from __future__ import annotations

PAPER = {
    "source": "Natali et al., arXiv 2511.05253 (November 2025), abstract",
    "not_comparable": "Real patients there, simulated ones here: these figures cannot be compared, and none of them "
    "says how good a method of this study is.",
    "data": "85 tracked 3D intraoperative ultrasound volumes of 85 patients",
    "figures": {
        "crop": {"dice_median": 0.74, "recall": 0.79, "hausdorff_mm": 17.1, "auc": 0.898},
        "full": {"auc": 0.718},
    },
    "statements": [
        "The full-volume variant was worse on every metric.",
        "Automatic in about 1 minute, about 4 times as fast as semi-automatic segmentation.",
    ],
    "read": "That 17.1 mm is the largest distance, and that the ROC area is that of the mask rather than of the "
    "probabilities, is how we read the abstract; it does not say so.",
}
