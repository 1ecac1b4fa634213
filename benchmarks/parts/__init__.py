"""What the benchmark programs share: servers of their own, cheap senders, the meter and the report."""
