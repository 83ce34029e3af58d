"""Ray Tune at work: the cluster, the trials, the scheduler, and the record of what happens."""
