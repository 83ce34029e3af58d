"""What is sent: counted for the arms and the metrics, and remembered as impressions."""
