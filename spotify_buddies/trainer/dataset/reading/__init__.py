"""Raw files in: one module a format, and the codes that what they hold is kept under."""
