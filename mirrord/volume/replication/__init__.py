"""Changes in one order, to both nodes at once; what is answered when."""
