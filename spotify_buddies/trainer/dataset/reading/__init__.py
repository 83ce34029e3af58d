"""Raw files into codes: one module a format."""
