"""The drill `fuzz`: requests that no client would send, and every answer a status that the caller can understand."""
