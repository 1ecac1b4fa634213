"""The sections of `stellwerk.toml`, one model each. The descriptions are the reference page of the manual, so they are
written for operators. Every secret can also come from a file of its own (`*_file`), outside the main file."""
