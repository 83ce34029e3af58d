"""The wire: what arrives and leaves in gRPC's terms."""
