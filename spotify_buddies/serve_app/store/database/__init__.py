"""The database of the store: connections, migrations, partitions, upkeep."""
