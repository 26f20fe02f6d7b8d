"""Reading a list whole: by offset, by cursor, by time."""
