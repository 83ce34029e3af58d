"""The online half: Ray Serve deployments, feedback store, embedded services. Never imports torch."""
