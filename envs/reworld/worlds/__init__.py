"""The worlds, one file each: a table of parameters, the functions, and the drawing."""
