"""A comparison of methods on simulated patients, after the experiment of arXiv 2511.05253."""

__all__ = ["run", "tables"]
