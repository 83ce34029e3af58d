-- Who was erased, and what replicas know of it (docs/privacy.md). No id of a listener stands here: `listener` is an
-- HMAC-SHA256 of it, whose key is not in this database.
CREATE TABLE erasures (
  -- grows with every erasure, in the order of their commits; an erasure that is repeated gets a new one
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  listener bytea NOT NULL UNIQUE,
  -- the name of the key that made it
  key bytea NOT NULL,
  at timestamptz NOT NULL,
  -- of blocks_changes: states of the listener's blocks with a smaller number are gone
  change bigint NOT NULL
);

-- Idempotency keys of erased feedback, so that no retry stores it again: SHA-256 of caller and key. Kept as long as the
-- keys of other feedback.
CREATE TABLE erased_keys (
  hash bytea PRIMARY KEY,
  at timestamptz NOT NULL
);

-- Processes that answer listeners, and how far they honour erasures. One that stops takes its row away.
CREATE TABLE erasure_followers (
  follower text PRIMARY KEY,
  seen_at timestamptz NOT NULL DEFAULT now(),
  -- every erasure up to this number is honoured
  confirmed bigint NOT NULL,
  -- the name of its key; NULL: it has none, and cannot tell who is meant
  key bytea
);

-- The other tables can be read by listener already.
CREATE INDEX wishes_user ON wishes (user_id);

-- Both functions are volatile, so that what they read is as of after the wait for their lock. The locks:
-- spotify_buddies/serve_app/store/rights/locks.py.

-- Whether an action may be stored: it is no retry of an erased one. Waits for an erasure of the listener that runs.
CREATE FUNCTION admit_feedback(who text, caller text, key text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1650815603, hashtext(who));
  RETURN NOT EXISTS (SELECT FROM erased_keys WHERE hash = sha256(convert_to(caller || chr(1) || key, 'UTF8')));
END $$;

-- Before impressions are written, in the same transaction: the newest erasure and how many there are. Waits for an
-- erasure that runs; the next one waits for the end of this transaction.
CREATE FUNCTION enter_impressions(OUT newest bigint, OUT erased bigint) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(1650815604, 0);
  SELECT coalesce(max(number), 0), count(*) INTO newest, erased FROM erasures;
END $$;
