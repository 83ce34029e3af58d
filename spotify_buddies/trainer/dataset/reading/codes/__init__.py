"""Lines of plain ids to codes, without a Python string for each."""
