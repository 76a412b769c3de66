"""Results for others: report.json, HTML pages with their figures, the session report, and OpenIGTLink messages."""

from __future__ import annotations

__all__ = [
    "filters",
    "igtl_results",
    "lesion_page",
    "lesion_report",
    "metric_names",
    "navigation_entry",
    "navigation_figures",
    "page_process",
    "planes",
    "plots",
    "schema",
    "serve_results",
    "session_page",
    "session_report",
    "slices",
    "space",
    "templates",
]
