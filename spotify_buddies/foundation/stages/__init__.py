"""Long work that is done all or nothing: stages, blocks of rows, progress, what the work costs."""
