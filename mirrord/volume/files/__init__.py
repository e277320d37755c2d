"""The replicated directories as they are on this node's disk, and how a change is made there."""
