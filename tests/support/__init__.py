"""What several tests need: a bridge process, a record of everything it said, planted secrets."""
