-- A list with its playlists in one array, best first. For joins by list: online_impressions has a row for each place, ten
-- times as many to join.
CREATE VIEW online_places AS
SELECT at, recommendation_id, user_id, model_version, arm, playlist_ids FROM impressions;
