"""Pure conversion: values in, values out. No I/O, no clock, no randomness, no Flask."""
