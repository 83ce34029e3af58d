"""User and playlist factors: the training loop, and the models behind its seam.

train fits any `Backend` of backends, which is where the next model goes: one module, or a room where it needs several
(bpr: factors of their own; hybrid: factors summed from songs), and one line in backends.KINDS. Models that are trained
for comparison alone are in peers. items holds the models of playlists that are followed together, blend adds all up.
fit is the way in for callers: a data set to a `Model`.
"""
