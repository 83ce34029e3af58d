"""Material of reports: statistics of distributions, plots as SVG, HTML pages and their templates."""
