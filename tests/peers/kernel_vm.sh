#!/bin/sh
# Boots a small Linux in an emulated machine, with the kernel's l2tp modules, and runs a script in it.
#     kernel_vm.sh ROOT L2TPD SCRIPT [ARGUMENT]
# ROOT: unpacked packages of tests/peers/fetch.sh; KERNEL: where another kernel is unpacked. What the script prints comes
# out here; the last line is `status N` with its exit status.
set -eu
root=$1
l2tpd=$2
script=$3
argument=${4-}
dir=$(mktemp -d)
qemu=
trap '[ -z "$qemu" ] || kill "$qemu" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 143' INT TERM
busybox=$root/bin/busybox
image=${KERNEL:-$root}
fs=$dir/fs
mkdir -p "$fs/bin" "$fs/modules" "$fs/etc" "$fs/proc" "$fs/sys" "$fs/dev" "$fs/run" "$fs/tmp" "$fs/var"

cp "$busybox" "$fs/bin/busybox"
cp "$l2tpd" "$fs/bin/l2tpd"
ln -s l2tpd "$fs/bin/l2tpctl"
cp "$script" "$fs/script"
cp "${0%/*}/inside.sh" "$fs/"
echo "$argument" >"$fs/argument"
# dash, because busybox's shell prefers its own `ip`, which knows neither netns nor l2tp.
for program in /bin/dash "$(command -v ip)"; do cp "$program" "$fs/bin/"; done
mv "$fs/bin/dash" "$fs/bin/sh"
for program in "$fs/bin/l2tpd" "$fs/bin/sh" "$fs/bin/ip"; do
    ldd "$program" 2>/dev/null | tr ' \t' '\n\n' | grep '^/' | while read -r library; do
        mkdir -p "$fs${library%/*}"
        cp -L "$library" "$fs$library"
    done
done
for applet in mount sleep ping cat grep insmod poweroff mkdir seq kill cut tail sed uname ls dmesg head awk cmp nc dd md5sum wc; do
    ln -s busybox "$fs/bin/$applet"
done
echo 'root:x:0:0::/:/bin/sh' >"$fs/etc/passwd"

number=0
for module in net/ipv4/udp_tunnel net/ipv6/ip6_udp_tunnel net/l2tp/l2tp_core net/l2tp/l2tp_netlink net/l2tp/l2tp_eth \
    net/l2tp/l2tp_ip net/l2tp/l2tp_ip6 drivers/net/veth drivers/net/vrf drivers/net/dummy net/802/stp net/802/psnap net/llc/llc \
    net/bridge/bridge drivers/net/tun net/sched/sch_ingress net/sched/cls_bpf net/802/garp net/802/mrp net/8021q/8021q \
    net/tls/tls drivers/net/bonding/bonding; do
    file=$(find "$image/lib/modules" "$image/usr/lib/modules" -path "*/kernel/$module.ko*" 2>/dev/null | head -n 1)
    number=$((number + 1))
    to=$fs/modules/$(printf %02d "$number")-${module##*/}.ko
    case $file in
        '') ;;
        *.xz) "$busybox" unxz -c <"$file" >"$to" ;;
        *) cp "$file" "$to" ;;
    esac
done

cat >"$fs/init" <<'EOF'
#!/bin/sh
export PATH=/bin
mount -t proc none /proc; mount -t sysfs none /sys; mount -t devtmpfs none /dev; mount -t tmpfs none /run
mkdir -p /dev/net /run/netns
for pass in 1 2 3; do for module in /modules/*.ko; do insmod "$module" 2>/dev/null; done; done
sh /script $(cat /argument)
echo "status $?"
poweroff -f
EOF
chmod +x "$fs/init"
(cd "$fs" && find . | "$busybox" cpio -o -H newc 2>/dev/null) >"$dir/initramfs"

kernel=$(find "$image/boot" -name 'vmlinuz-*' | head -n 1)
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
# On a busy host the emulated timer is too slow for the kernel's check of it, which would panic.
"$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" \
    -machine q35 -accel tcg,thread=single -cpu max,-cx16 -m 768 -nodefaults -display none -no-reboot -nic none -serial stdio \
    -kernel "$kernel" -initrd "$dir/initramfs" -append 'console=ttyS0 quiet panic=-1 no_timer_check rdinit=/init' </dev/null 2>&1 &
qemu=$!
wait "$qemu"
qemu=
