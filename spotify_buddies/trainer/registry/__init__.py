"""Registered versions: bundles in MLflow's registry, their aliases, copies and derived versions."""
