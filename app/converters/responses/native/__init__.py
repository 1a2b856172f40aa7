"""A Responses client and a model that speaks the same: bytes pass, put right only where either side would choke."""
