"""Cases to an nnU-Net dataset, the dataset to a model, and how good the model is."""
