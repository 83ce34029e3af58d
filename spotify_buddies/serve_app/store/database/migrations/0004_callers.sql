-- A key belongs to who sent it, and stands for one action: a second one with other content is refused.
-- While the new primary key is built, a few seconds for some millions of keys, feedback waits.
ALTER TABLE feedback
  -- who called, as the edge in front says; empty: nobody says
  ADD COLUMN caller text COLLATE "C" NOT NULL DEFAULT '',
  -- of the action, see spotify_buddies/serve_app/store/fingerprint.py; NULL: stored before there were any, and the same as every action
  ADD COLUMN fingerprint bytea,
  DROP CONSTRAINT feedback_pkey,
  ADD PRIMARY KEY (caller, idempotency_key);
