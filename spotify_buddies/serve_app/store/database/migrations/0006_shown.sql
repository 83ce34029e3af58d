-- What was shown, wholly: enough to compute a list again from its version's bundle, and to weigh what listeners did with
-- it. NULL in each: written by a release that did not say. Added columns without a default rewrite no partition.
ALTER TABLE impressions
  -- of the playlists, in the order of playlist_ids
  ADD COLUMN scores real[],
  -- the probability that the playlist stood at this rank; NULL in a row that has scores: each is 1
  ADD COLUMN propensities real[],
  -- steps that were left out, as the answer says them; NULL: none
  ADD COLUMN skipped text[] COLLATE "C",
  -- hash of the candidates' rows before any rule (spotify_buddies/serve_app/ranking/)
  ADD COLUMN candidates bytea,
  -- what was asked, as a serialized buddies.v1.RecommendRequest without the ids of its users
  ADD COLUMN asked bytea;
