"""Helpers without domain knowledge; imports nothing of ours."""
