"""The same service on a bare grpc.aio server: for tests, and as the baseline of measurements."""
