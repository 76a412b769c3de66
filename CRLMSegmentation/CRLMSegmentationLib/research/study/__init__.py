"""The experiment of arXiv 2511.05253 on simulated patients: what is done, step by step, and what comes out."""
