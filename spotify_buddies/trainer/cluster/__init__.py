"""Work over blocks of rows as tasks of a Ray cluster."""
