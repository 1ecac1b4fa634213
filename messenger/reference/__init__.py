"""Reference pages that are made from the program's own tables, so that they are never stale."""
