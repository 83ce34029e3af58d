"""The front: HAProxy as Ray starts it, with this service's limits and gRPC's own refusals."""
