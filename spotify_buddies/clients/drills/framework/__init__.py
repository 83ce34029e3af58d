"""What every drill is made of: a service, traffic with an account of every call, limits, a result and a runner."""
