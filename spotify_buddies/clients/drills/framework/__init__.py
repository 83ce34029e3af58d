"""The parts of every drill: a service, traffic with an account of every call, limits, a result and a runner."""
