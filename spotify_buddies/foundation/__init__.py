"""What every package stands on and none is about; imports nothing of ours."""
