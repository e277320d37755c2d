#!/usr/bin/env bash
# The two steps to a machine's disk. Each is run in mount and process namespaces of its own (lab/vm/image.py), so that
# whatever a package starts, or a step that fails leaves mounted, ends with them.
#
#   build.sh base BASE MIRROR SUITE PACKAGE...    BASE/tree, BASE/vmlinuz, BASE/initrd: Debian, without the product
#   build.sh image BASE WHEELS AGENT IMAGE        IMAGE: an ext4 file system, BASE/tree with the product in /opt/farmd
set -euo pipefail

base() {
    local base=$1 mirror=$2 suite=$3; shift 3
    debootstrap --variant=minbase --include="$(IFS=,; echo "$*")" "$suite" "$base/tree" "$mirror"
    # Without the drivers of all the world, which an emulated processor unpacks for a minute.
    echo MODULES=list > "$base/tree/etc/initramfs-tools/conf.d/lab"
    printf '%s\n' virtio_pci virtio_blk ext4 >> "$base/tree/etc/initramfs-tools/modules"
    chroot "$base/tree" update-initramfs -u
    cp -L "$base"/tree/boot/vmlinuz-* "$base/vmlinuz"
    cp -L "$base"/tree/boot/initrd.img-* "$base/initrd"
    rm -rf "$base"/tree/var/cache/apt/archives/*.deb
}

image() {
    local base=$1 wheels=$2 agent=$3 image=$4 work=/mnt
    mount -t tmpfs work "$work"
    mkdir "$work/upper" "$work/work" "$work/tree"
    mount -t overlay -o "lowerdir=$base/tree,upperdir=$work/upper,workdir=$work/work" tree "$work/tree"
    cd "$work/tree"

    # As README says, but for the index: the wheels, dependencies included, are in the tree.
    cp -r "$wheels" root/wheels
    chroot . python3 -m venv /opt/farmd
    chroot . /opt/farmd/bin/pip --isolated install --quiet --no-index --find-links /root/wheels/now farmd

    install -m 755 "$agent" usr/local/sbin/lab-agent
    cat > etc/systemd/system/lab-agent.service <<- 'END'
	[Unit]
	Description=Runs what the lab sends
	DefaultDependencies=no
	Conflicts=shutdown.target
	StartLimitIntervalSec=0
	[Service]
	ExecStart=/usr/bin/python3 /usr/local/sbin/lab-agent /dev/virtio-ports/lab.agent
	Restart=always
	RestartSec=0.1
	[Install]
	WantedBy=sysinit.target
	END
    # The kernel's command line says what the machine is called and which addresses it has (lab/vm/guest.py).
    chroot . systemctl --quiet enable lab-agent.service systemd-networkd.service systemd-network-generator.service
    chroot . systemctl --quiet disable apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer
    # A web server that says on which machine it runs (lab/clients.py looks for it).
    cat > etc/nginx/sites-available/default <<- 'END'
	server {
	    listen 80 default_server backlog=4096;
	    listen [::]:80 default_server backlog=4096;
	    add_header X-Node $hostname;
	    location / { default_type text/plain; return 200 "$hostname\n"; }
	}
	END
    : > etc/machine-id  # each machine makes its own
    rm -f etc/hostname

    truncate -s 3G "$image.new"
    mkfs.ext4 -q -F -d . "$image.new"
    mv "$image.new" "$image"
}

"$@"
