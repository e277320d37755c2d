"""The HTTP face of a node: what load balancers, Prometheus and people see of its farms. It decides nothing."""
