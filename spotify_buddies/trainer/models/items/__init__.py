"""Models of playlists that are followed together: linear item models, walks, factorisation, and neighbours.

Each is fitted on interactions alone, Csr (U, P), and answers with dense blocks of scores; see `item_model`.
"""
