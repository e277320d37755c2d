"""mirrord: two nodes, one set of files, every change on both before the application is told that it is done."""
