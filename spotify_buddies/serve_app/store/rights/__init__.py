"""The rights of a listener: everything that is stored of one, shown or erased (docs/privacy.md).

Imports nothing itself, as the room above it.
"""
