"""Drills of processes, connections and the machine: one fault each, under traffic with feedback."""
