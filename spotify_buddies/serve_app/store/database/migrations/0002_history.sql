-- One row per action in `feedback` (what its idempotency key stands for), one row per playlist in `reactions` or `wishes`,
-- what must not come back in `blocks`, what was shown in `impressions`. The three that grow with traffic are partitioned
-- by week; weeks are made ahead and dropped whole (spotify_buddies/serve_app/store/database/partitions.py), and a row for which there is no week
-- yet goes to the default partition, so that no insert can fail for it.
ALTER TABLE feedback RENAME TO feedback_1;
ALTER TABLE reactions RENAME TO reactions_1;
ALTER INDEX feedback_created RENAME TO feedback_1_created;
ALTER INDEX feedback_recommendation RENAME TO feedback_1_recommendation;
ALTER INDEX feedback_pkey RENAME TO feedback_1_pkey;
ALTER INDEX reactions_pkey RENAME TO reactions_1_pkey;
ALTER SEQUENCE feedback_id_seq RENAME TO feedback_1_id_seq;

-- Not partitioned: a unique key of a partitioned table must hold the partition key, and a retry arrives at another time.
CREATE TABLE feedback (
  idempotency_key text COLLATE "C" PRIMARY KEY,
  id bigint GENERATED ALWAYS AS IDENTITY,
  at timestamptz NOT NULL,
  -- rows of this action in reactions and wishes
  rows smallint NOT NULL
);
-- Rows arrive in the order of time and leave in it, so block ranges find the old ones at next to no cost.
CREATE INDEX feedback_at ON feedback USING brin (at) WITH (autosummarize = on);

CREATE TABLE reactions (
  at timestamptz NOT NULL,
  feedback_id bigint NOT NULL,
  recommendation_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  playlist_id text COLLATE "C" NOT NULL,
  -- liked 1, ignored 0, disliked -1
  score smallint NOT NULL CHECK (score BETWEEN -1 AND 1),
  model_version text NOT NULL,
  arm text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX reactions_user ON reactions (user_id, at);
CREATE INDEX reactions_recommendation ON reactions (recommendation_id);
CREATE TABLE reactions_default PARTITION OF reactions DEFAULT;

CREATE TABLE wishes (
  at timestamptz NOT NULL,
  feedback_id bigint NOT NULL,
  recommendation_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  playlist_id text COLLATE "C" NOT NULL,
  -- when the playlist may come back
  until timestamptz NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX wishes_recommendation ON wishes (recommendation_id);
CREATE TABLE wishes_default PARTITION OF wishes DEFAULT;

CREATE TABLE impressions (
  at timestamptz NOT NULL,
  recommendation_id text COLLATE "C" NOT NULL,
  user_id text COLLATE "C" NOT NULL,
  -- best first: the place in the array is the rank
  playlist_ids text[] COLLATE "C" NOT NULL,
  model_version text NOT NULL,
  arm text NOT NULL,
  source text NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX impressions_user ON impressions (user_id, at);
CREATE TABLE impressions_default PARTITION OF impressions DEFAULT;

-- The latest state of every (listener, playlist) that was disliked or not wanted for a time. Lifted and run out ones stay
-- for a while, so that who follows the changes learns of them.
CREATE SEQUENCE blocks_changes;
CREATE TABLE blocks (
  user_id text COLLATE "C" NOT NULL,
  playlist_id text COLLATE "C" NOT NULL,
  -- NULL: nothing was said of it
  disliked boolean,
  -- end of the wish not to see it
  until timestamptz,
  -- grows with every change of this row; drawn while the row is locked
  change bigint NOT NULL DEFAULT nextval('blocks_changes'),
  -- transaction of the last change: who has seen every transaction below x asks for x and later, and misses none
  changed_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
  changed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (user_id, playlist_id)
) WITH (fillfactor = 90);
CREATE INDEX blocks_changed ON blocks (changed_by);

-- When work that one process does for all was last done.
CREATE TABLE store_work (
  name text PRIMARY KEY,
  done_at timestamptz NOT NULL
);

INSERT INTO feedback (idempotency_key, id, at, rows) OVERRIDING SYSTEM VALUE
SELECT idempotency_key, id, created_at, (SELECT count(*) FROM reactions_1 WHERE feedback_id = id)
FROM feedback_1 ORDER BY created_at;

INSERT INTO reactions
SELECT created_at, id, recommendation_id, user_id, playlist_id, score, model_version, arm
FROM feedback_1 JOIN reactions_1 ON feedback_id = id ORDER BY created_at;

INSERT INTO blocks (user_id, playlist_id, disliked)
SELECT user_id, playlist_id, true
FROM (
  SELECT DISTINCT ON (user_id, playlist_id) user_id, playlist_id, score
  FROM reactions WHERE score <> 0 ORDER BY user_id, playlist_id, at DESC, feedback_id DESC
) AS latest
WHERE score = -1;

SELECT setval(pg_get_serial_sequence('feedback', 'id'), (SELECT max(id) FROM feedback)) WHERE EXISTS (SELECT FROM feedback);
DROP TABLE reactions_1, feedback_1;
