"""The published gRPC service config: deadlines and retries for channels of other languages, or without our client.

    grpc.insecure_channel(address, options=[("grpc.service_config", SERVICE_CONFIG)])

`Client` does not use it: it retries by the same rules, but also sees RetryInfo where a proxy drops the header
`grpc-retry-pushback-ms`, and its deadline is an argument, which a service config could only shorten.
"""

from __future__ import annotations

from importlib.resources import files

SERVICE_CONFIG: str = files(__package__).joinpath("service_config.json").read_text(encoding="utf-8")
