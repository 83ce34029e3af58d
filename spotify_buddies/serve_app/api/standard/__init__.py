"""The services that every gRPC server has: health and reflection."""
