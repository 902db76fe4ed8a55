#!/bin/bash
# Builds the guest "tick": guest.sh OUT.raw
#
# A tiny bootable disk (Debian's cloud kernel, busybox, the QEMU guest agent) that leaves a trail on its disks, so that a
# test can prove which moment, and which disk, a snapshot or a restored disk holds:
#   once a second   n+1 is written to every disk, in order: the ext4 file /data/counter, sector 2040 of vda, sector 0 of
#                   vdb, vdc, ... as a line "COUNTER <n> <epoch> run". So at any instant two disks differ by one at most.
#   at power-off    the same once more with phase "shutdown": what a restore "at rest" has to contain.
#   once a disk     "LABEL <name at first sight> <random hex>" in the sector behind the counter (2041, 1): it stays with
#                   the content when volumes get new ids.
#   on the console  at boot and at hot-plug, before anything is written, what each disk held:
#                   DISK vdb serial=<first 20 characters of the volume id> found=COUNTER 41 1790000000 shutdown label=vdb-3f...
#                   (at boot all of these lines twice)
# No loop device and no mount is needed to build it.
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
OUT=$1
WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
ROOT=$WORK/root
mkdir -p "$ROOT"/{bin,sbin,dev,proc,sys,data,lib,run,tmp,var/run,modules,etc/acpi/PWRF}

kernel=$(cd /lib/modules && printf '%s\n' *-cloud-amd64 | sort -V | tail -n 1)
cp /bin/busybox "$ROOT/bin/"
ln -s busybox "$ROOT/bin/sh"

number=100                                   # modules in load order
for module in virtio_pci virtio_blk ext4 crc32c_generic button evdev virtio_console virtio-rng; do
    modprobe -S "$kernel" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" {print $2}'
done | awk '!seen[$0]++' | while read -r file; do
    number=$((number + 1))
    cp "$file" "$ROOT/modules/$number-${file##*/}"
done

cp /usr/sbin/qemu-ga "$ROOT/sbin/"
ldd /usr/sbin/qemu-ga | grep -o '/[^ ]*' | while read -r library; do
    mkdir -p "$ROOT${library%/*}"
    cp -L "$library" "$ROOT$library"
done

# The power button, and the agent's guest-shutdown, tell init.
printf '#!/bin/sh\nkill -USR1 1\n' | tee "$ROOT/etc/acpi/PWRF/00000080" >"$ROOT/sbin/shutdown"

cat >"$ROOT/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin
stop=
trap 'stop=1' USR1
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
dmesg -n 1                                   # no kernel message in the middle of our lines
for m in /modules/*; do insmod $m 2>/dev/null; done
i=0; while [ ! -b /dev/vda2 ] && [ $i -lt 100 ]; do i=$((i+1)); usleep 50000; done
mount -t ext4 /dev/vda2 /data || echo "GUEST no /data"
acpid -l /dev/null 2>/dev/null
for p in /sys/class/virtio-ports/*; do
    [ "$(cat $p/name 2>/dev/null)" = org.qemu.guest_agent.0 ] && qemu-ga -d -p /dev/${p##*/} -t /tmp -f /tmp/ga.pid
done

sector() { if [ $1 = vda ]; then echo 2040; else echo 0; fi; }        # of the counter; the label's is the next
line() { dd if=/dev/$1 bs=512 skip=$2 count=1 2>/dev/null | tr -d '\000' | head -n 1 | sed 's/ *$//'; }
put() { dd if=$3 of=/dev/$1 bs=512 seek=$2 conv=notrunc,fsync 2>/dev/null; }

meet() {                                     # a disk seen for the first time: say what it holds, then label it
    local s=$(sector $1) found label
    found=$(line $1 $s); label=$(line $1 $((s+1)))
    case $found in COUNTER*) ;; *) found=none ;; esac
    case $label in
        LABEL*) set -- $1 $label; label=$3-$4 ;;
        *)  label=$1-$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
            printf '%-511s\n' "LABEL $1 ${label#*-}" >/tmp/label
            put $1 $((s+1)) /tmp/label
            label="$label new" ;;
    esac
    serial=$(cat /sys/block/$1/serial 2>/dev/null)
    echo "DISK $1 serial=${serial:--} found=$found label=$label"
    >/tmp/met-$1
}

tick() {                                     # the same n on every disk
    n=$((n+1))
    echo $n >/data/counter.new && mv /data/counter.new /data/counter && sync
    printf '%-511s\n' "COUNTER $n $(date +%s) $1" >/tmp/tick
    for d in /sys/block/vd*; do
        d=${d##*/}
        [ -e /tmp/met-$d ] || meet $d
        put $d $(sector $d) /tmp/tick
    done
    for d in /tmp/met-*; do [ -e /sys/block/${d#/tmp/met-} ] || rm $d; done
}

n=$(cat /data/counter 2>/dev/null || echo 0)
for d in /sys/block/vd*; do meet ${d##*/}; done >/tmp/boot
cat /tmp/boot /tmp/boot                      # twice: a serial line may lose characters
echo "GUEST up, counter starts at $n, uptime $(cut -d' ' -f1 /proc/uptime)"
while [ -z "$stop" ]; do
    tick run
    [ $((n % 10)) = 0 ] && echo "counter $n"
    [ -n "$stop" ] || { sleep 1 & wait $!; }
done
tick shutdown
echo "GUEST down at counter $n"
umount /data
poweroff -f
INIT
chmod +x "$ROOT/init" "$ROOT/etc/acpi/PWRF/00000080" "$ROOT/sbin/shutdown"
(cd "$ROOT" && find . | cpio -o -H newc --quiet | gzip -9) >"$WORK/initrd"

# An MBR disk: p1 at 1 MiB is FAT with syslinux and the kernel, p2 is ext4 for /data.
disk=$WORK/disk
truncate -s 128M "$disk"
printf '2048,131072,c,*\n133120,,83\n' | sfdisk -q "$disk"
dd if=/usr/lib/syslinux/mbr/mbr.bin of="$disk" conv=notrunc bs=440 count=1 status=none
fat=$disk@@$((2048 * 512))
export MTOOLS_SKIP_CHECK=1
mformat -i "$fat" -T 131072 -H 2048 -h 64 -s 32 ::
cat >"$WORK/syslinux.cfg" <<'CFG'
DEFAULT tick
PROMPT 0
SERIAL 0 115200
LABEL tick
 LINUX /vmlinuz
 INITRD /initrd
 APPEND console=ttyS0 quiet panic=5 tsc=unstable
CFG
mcopy -i "$fat" "/boot/vmlinuz-$kernel" ::/vmlinuz
mcopy -i "$fat" "$WORK/initrd" "$WORK/syslinux.cfg" ::/
syslinux --install --offset $((2048 * 512)) "$disk"
mke2fs -q -t ext4 -E "offset=$((133120 * 512))" "$disk" $(((262144 - 133120) / 2))
mv "$disk" "$OUT"
