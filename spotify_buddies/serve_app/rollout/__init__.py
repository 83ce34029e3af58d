"""Model versions on live traffic: what shall be served, who serves it, and whether it stays."""
