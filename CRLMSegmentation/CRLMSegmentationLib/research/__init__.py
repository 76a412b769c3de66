"""For developers of models: simulated patients, training, evaluation, baselines and studies."""
