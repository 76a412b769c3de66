"""How good a model is on cases with a truth: what is measured, on what, and what the figures say."""
