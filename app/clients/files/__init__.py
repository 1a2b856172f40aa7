"""Reading, merging and writing the configuration files of clients."""
