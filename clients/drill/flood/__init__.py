"""The drill `flood`: one caller does all that HTTP/2 lets him, and another one must not notice."""
