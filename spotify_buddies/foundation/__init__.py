"""The base that every package uses and none is about; imports nothing of ours."""
