"""Lists drafted from two versions (team draft), and what is sent and remembered of them."""
