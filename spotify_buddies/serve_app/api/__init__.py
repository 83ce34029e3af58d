"""The wire: decoding, encoding, limits, status, admission, health, and registration on gRPC servers."""
