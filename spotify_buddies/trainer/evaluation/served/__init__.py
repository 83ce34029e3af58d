"""The served protocol: held-out questions through the candidates, rules and ranking that answer requests.

The engine belongs to serve_app, which trainer does not import: whoever runs the protocol hands over a `Ranker`.
"""
