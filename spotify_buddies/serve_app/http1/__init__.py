"""http1: unary gRPC calls as HTTP/1.1 requests with trailers, as the front sends them to a replica."""
