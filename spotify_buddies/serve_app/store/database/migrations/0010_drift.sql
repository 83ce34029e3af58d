-- Why a model should be trained again, each to be taken by one retraining and once.
CREATE TABLE drift_causes (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- drift: an alarm. feedback: enough new user-blocks. other: a retraining that no cause of ours started
  kind text NOT NULL CHECK (kind IN ('drift', 'feedback', 'other')),
  message text NOT NULL,
  -- ends of the first window and of the newest one that showed it
  began timestamptz NOT NULL,
  seen timestamptz NOT NULL,
  -- by whom, when, and until when its data go; NULL: nobody has taken it
  taken_by text,
  taken_at timestamptz,
  taken_until timestamptz,
  CHECK ((taken_at IS NULL) = (taken_until IS NULL) AND (taken_at IS NULL) = (taken_by IS NULL))
);
-- However many schedulers count the blocks.
CREATE UNIQUE INDEX drift_causes_feedback ON drift_causes (kind) WHERE kind = 'feedback' AND taken_at IS NULL;

-- What a check found: one row for each comparison of a window that ended at `until`; the same window again rewrites it.
CREATE TABLE drift_checks (
  until timestamptz NOT NULL,
  since timestamptz NOT NULL,
  signal text NOT NULL,
  -- day, week or training: spotify_buddies/serve_app/online/drift/signals.py
  against text NOT NULL,
  version text,
  -- NULL: not measured
  value double precision,
  -- NULL: not judged
  threshold double precision,
  alarm boolean NOT NULL,
  why text NOT NULL,
  cause bigint REFERENCES drift_causes (id),
  at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (until, signal, against)
);
