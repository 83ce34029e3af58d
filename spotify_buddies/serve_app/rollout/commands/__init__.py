"""The rollout from a terminal: changes made by people, and the state as tables."""
