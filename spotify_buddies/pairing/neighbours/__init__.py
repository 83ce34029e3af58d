"""Users near a user or a taste: exact search, reduction to short vectors, search by FAISS, fold-in."""
