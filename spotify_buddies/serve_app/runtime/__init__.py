"""Ray Serve on this machine: the application, its deployments, scaling, start, release and stop."""
