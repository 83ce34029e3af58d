"""The measured stages, one module each."""
