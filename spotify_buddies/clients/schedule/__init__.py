"""What runs by itself: the commands of the loop at their times, by one leader."""
