"""What changes while a gateway runs: its routes and their limits, kept in a store."""
