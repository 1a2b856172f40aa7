"""A random run of calls in all dialects, after which the books are compared with what the simulator billed."""
