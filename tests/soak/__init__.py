"""Many paced streams at a time, for minutes, some of them cut and some left: everything has to be accounted for."""
