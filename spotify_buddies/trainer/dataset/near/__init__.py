"""Songs whose names are near each other, judged by what else the catalogue knows: misspellings, subtitles."""
