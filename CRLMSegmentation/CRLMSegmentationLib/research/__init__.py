"""Development of models: simulated patients, training, evaluation, baselines and comparative studies."""

__all__ = ["baselines", "evaluation", "phantom", "ray_cluster", "study", "training"]
