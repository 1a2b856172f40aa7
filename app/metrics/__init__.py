"""Numbers for Prometheus: counted by each worker behind everybody's back, told together by whichever is asked."""
