"""The same bundle served in other ways, bare grpc.aio first: for tests, and as peers of measurements."""
