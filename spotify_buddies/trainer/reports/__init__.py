"""The material of reports: statistics of distributions, plots as SVG, HTML pages."""
