"""Our mounts over the replicated directories, and whether a directory can have one."""
