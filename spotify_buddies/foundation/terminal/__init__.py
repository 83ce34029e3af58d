"""Text for people in a terminal: messages, tables, durations."""
