"""Impressions: what was shown, written in the background by binary COPY."""
