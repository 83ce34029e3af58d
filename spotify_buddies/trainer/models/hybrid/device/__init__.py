"""The hybrid model on a CUDA device; imports torch, so it is imported only when it is used."""
