-- What the replicas shall serve, one row per change and none ever changed again but for its state; and what they do serve.
CREATE TABLE rollout_generations (
  -- one more than the newest: of two people who change the same state, the second breaks this key and is told
  number bigint PRIMARY KEY,
  model text NOT NULL,
  production text NOT NULL,
  canary text,
  -- of the listeners, 0 to 1
  share double precision NOT NULL CHECK (share BETWEEN 0 AND 1 AND (share = 0 OR canary IS NOT NULL)),
  -- decides with a listener's id who is in the canary's share; the same as long as the canary is
  salt text NOT NULL,
  shadow text,
  -- kept loaded, so that going back is a swap
  previous text,
  paused boolean NOT NULL,
  at timestamptz NOT NULL DEFAULT now(),
  who text NOT NULL,
  -- start, set-percent, promote, rollback, pause, resume, or registry: somebody moved an alias there
  action text NOT NULL,
  why text NOT NULL,
  -- preparing: replicas load what is new and serve what was before. active: they serve it. failed: they never did.
  state text NOT NULL CHECK (state IN ('preparing', 'active', 'failed')),
  decided_at timestamptz,
  -- why it failed
  message text NOT NULL DEFAULT ''
);

-- What every replica has; a row that is not renewed belongs to one that is gone.
CREATE TABLE rollout_replicas (
  replica text PRIMARY KEY,
  -- ranker or index
  role text NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT now(),
  -- newest generation of which all versions are loaded, warm and checked; 0: none
  prepared bigint NOT NULL,
  -- generation that is served; 0: none
  following bigint NOT NULL,
  -- version -> {"state", "since", "message", "sha256"}
  versions jsonb NOT NULL
);

-- Why something was decided, by people or by a gate; shown with the history.
CREATE TABLE rollout_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at timestamptz NOT NULL DEFAULT now(),
  generation bigint NOT NULL,
  -- gate, advanced, rolled_back, refused, failed, registry_away, registry_back
  kind text NOT NULL,
  version text,
  message text NOT NULL,
  details jsonb NOT NULL DEFAULT '{}'
);

-- What the arms of a generation did, as each replica counts it since it follows that generation; sums over the replicas
-- are the whole. Rewritten with the heartbeat.
CREATE TABLE rollout_counts (
  generation bigint NOT NULL,
  replica text NOT NULL,
  arm text NOT NULL,
  version text NOT NULL,
  listeners bigint NOT NULL,
  errors bigint NOT NULL,
  empty bigint NOT NULL,
  cold bigint NOT NULL,
  -- calls by latency: edges in spotify_buddies/serve_app/versions/counts.py
  latencies bigint[] NOT NULL,
  -- playlists recommended, one bit per row of the version's bundle, compressed with zlib
  shown bytea NOT NULL,
  -- of the shadow: calls compared, lost to a full queue, and the sums of top-k overlap and of score drift over listeners
  compared bigint NOT NULL DEFAULT 0,
  lost bigint NOT NULL DEFAULT 0,
  overlap double precision NOT NULL DEFAULT 0,
  drift double precision NOT NULL DEFAULT 0,
  PRIMARY KEY (generation, replica, arm)
);

-- The gates read the reactions since a canary began; rows arrive in the order of time.
CREATE INDEX reactions_at ON reactions USING brin (at) WITH (autosummarize = on);

-- What the controller has to remember beside the generations: at most one row.
CREATE TABLE rollout_controller (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- aliases and percent as they stood in the registry when it was last made to agree with a generation, or when what
  -- somebody had moved there was taken over: a value that differs from these was moved by hand since
  agreed jsonb,
  -- what is being written to the registry: values that are found there are ours too
  writing jsonb,
  -- when the registry answered last, and since when it does not
  registry_seen_at timestamptz,
  registry_away_since timestamptz,
  registry_message text NOT NULL DEFAULT '',
  -- newest event that the registry was told of
  told bigint NOT NULL DEFAULT 0,
  -- what the gates say now
  verdict jsonb,
  verdict_generation bigint,
  -- when the controller worked last
  seen_at timestamptz NOT NULL DEFAULT now()
);
