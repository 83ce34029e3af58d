"""Other ways to serve the same bundle, started beside the service and measured with it in turn."""
