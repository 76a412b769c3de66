"""From a crop to the probability of tumour, in a child process that keeps torch and the model warm."""
