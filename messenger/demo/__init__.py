"""The demonstration: servers that we start ourselves and a story played on them. Tests use the same servers."""
