"""What `make bench` measures with: CPU per unit of work, beside whatever else is up.

``__main__`` is the command, ``scenarios`` what is measured, ``targets`` who, ``processes`` starts them and reads their
clocks. Upstream (``upstream``) and load (``load``) are processes of their own on another core, so that their work is
nobody else's.
"""
