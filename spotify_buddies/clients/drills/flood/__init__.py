"""The drill `flood`: one caller does all that HTTP/2 lets it do, and another one must not notice."""
