"""Setting up the programs that talk to the bridge: what to write where, made from the live model list.

Pure: values in, values out. Only `write` touches files.
"""
