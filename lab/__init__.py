"""The lab: a whole web farm inside network namespaces of one machine, with a switch, a router and clients."""
