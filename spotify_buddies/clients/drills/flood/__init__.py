"""The drill `flood`: one caller does everything that HTTP/2 allows, and another one must not notice."""
