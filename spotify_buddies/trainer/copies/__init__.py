"""Folders of the state directory in an object store: pushed and pulled by the hashes of their files."""
