"""Parts of a bundle that are computed from a data set and a model: playlist sketches and genres."""
