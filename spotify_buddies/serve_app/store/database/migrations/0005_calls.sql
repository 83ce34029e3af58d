-- Users of one call succeed or fail together, so the gates need to know how the users of an arm came in calls.
ALTER TABLE rollout_counts
  -- sum over calls of (users that the arm was asked for, and that it answered) squared. NULL: written by a release that
  -- did not count calls; then each user is taken for a call, as that release did
  ADD COLUMN asked_squares bigint,
  ADD COLUMN answered_squares bigint,
  -- latencies by the number of users: one row of counts per size class, one after another (versions/counts.py). Empty:
  -- not counted
  ADD COLUMN sized_latencies bigint[] NOT NULL DEFAULT '{}';
