-- Lists drafted from two versions (team draft): who picked which playlist. NULL in each column: one version made it all.
ALTER TABLE rollout_generations
  -- whether the share gets lists drafted from production and canary, and not the canary's
  ADD COLUMN interleave boolean NOT NULL DEFAULT false;
ALTER TABLE impressions
  -- the version that picked each playlist, in the order of playlist_ids; model_version is production's
  ADD COLUMN picked_by text[] COLLATE "C";
ALTER TABLE reactions
  -- the version that picked the playlist, whose like it is; NULL with the arm `interleaved`: not known yet
  ADD COLUMN picked_by text COLLATE "C";

-- picked_by: the version whose playlist it is. propensity: NULL in a drafted list too, where coins decide the ranks.
CREATE OR REPLACE VIEW online_impressions AS
SELECT at, recommendation_id, user_id, model_version, arm, source, playlist_id, rank::int AS rank,
  scores[rank] AS score,
  CASE WHEN scores IS NOT NULL AND picked_by IS NULL THEN coalesce(propensities[rank], 1) END AS propensity,
  coalesce(picked_by[rank], model_version) AS picked_by
FROM impressions, unnest(playlist_ids) WITH ORDINALITY AS shown (playlist_id, rank);

CREATE OR REPLACE VIEW online_reactions AS
SELECT at, feedback_id, recommendation_id, user_id, model_version, arm, playlist_id, score,
  CASE WHEN arm = 'interleaved' THEN picked_by ELSE model_version END AS picked_by
FROM reactions;
