"""The closed loop: six simulated weeks of a service that is retrained twice from its feedback (`make loop`)."""
