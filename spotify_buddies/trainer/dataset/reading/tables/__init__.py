"""Tables with named columns: CSV, Parquet, and folders of their parts."""
