"""What may differ from the peer after whatever happens next, durably."""
