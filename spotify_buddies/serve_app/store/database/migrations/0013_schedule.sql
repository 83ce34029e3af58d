-- Runs of the scheduler's jobs; a scheduler that takes over goes on from here.
CREATE TABLE schedule_runs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job text NOT NULL,
  -- cron: at its time, or later if that was missed. once: by a person. simulated: by a clock that steps through the times
  started_by text NOT NULL CHECK (started_by IN ('cron', 'once', 'simulated')),
  -- the moment that the job was handed
  due timestamptz NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  -- NULL: it runs, or its scheduler died and nobody has taken over yet
  ended_at timestamptz,
  -- negative: the signal that ended it
  exit_code int,
  outcome text CHECK (outcome IN ('done', 'failed', 'timeout', 'ended', 'lost')),
  -- the last lines of its output
  said text NOT NULL DEFAULT '',
  -- host and process id of the scheduler
  leader text NOT NULL
);

CREATE INDEX schedule_runs_job ON schedule_runs (job, id DESC);
