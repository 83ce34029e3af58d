"""The engine asked without a service: the answers of one bundle as arrays, for evaluation."""
