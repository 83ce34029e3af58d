"""Texts from people and files: ids, lines, names of songs."""
