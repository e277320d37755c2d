"""The lab of virtual machines: Debian as it is installed, systemd, Debian's own kernel, virtio NICs. On demand."""
