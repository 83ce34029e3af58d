"""Advisory locks and the channel of erasures in Postgres; migration 0009 names the same numbers."""

from __future__ import annotations

# With a listener's hash: shared by transactions that store the listener's feedback, exclusive for an erasure.
LISTENERS = 0x62657273
# With 0: shared by transactions that write impressions, exclusive for an erasure.
IMPRESSIONS = 0x62657274
# Notified with the number, the change and the id of an erased listener: nothing keeps it, and replicas that miss it
# find the erasure in the table.
CHANNEL = "buddies_erased"
