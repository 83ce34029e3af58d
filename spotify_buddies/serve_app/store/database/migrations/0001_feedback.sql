-- What listeners did with recommendations: one row per action, one row per playlist of it.
CREATE TABLE feedback (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  idempotency_key text NOT NULL UNIQUE,
  recommendation_id text NOT NULL,
  user_id text NOT NULL,
  model_version text NOT NULL,
  arm text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX feedback_recommendation ON feedback (recommendation_id);
CREATE INDEX feedback_created ON feedback (created_at);

CREATE TABLE reactions (
  feedback_id bigint NOT NULL REFERENCES feedback (id) ON DELETE CASCADE,
  playlist_id text NOT NULL,
  -- liked 1, ignored 0, disliked -1
  score smallint NOT NULL CHECK (score BETWEEN -1 AND 1),
  PRIMARY KEY (feedback_id, playlist_id)
);
