# libvirt: its secrets, and the leftovers of an earlier life (kill -9 of everything, or a cloud that was wiped).

virsh_() { virsh -q -c qemu:///system "$@"; }

libvirt_launch() {
    launch virtlogd
    launch libvirtd
}

libvirt_up() {                               # needs Ceph: the secrets hold keys
    await virtlogd libvirtd
    # QEMU opens vms/ as client.nova, and volumes/ as client.cinder: Cinder's connection info names its own user.
    logged libvirt-secrets libvirt_secret nova "$NOVA_SECRET"
    logged libvirt-secrets libvirt_secret cinder "$CINDER_SECRET"
}

libvirt_secret() {                           # libvirt_secret CEPH-USER UUID
    local key old
    key=$(ceph auth get-key "client.$1") || return
    [ "$(virsh_ secret-get-value "$2" 2>/dev/null)" != "$key" ] || return 0
    # An earlier cloud's secret would block the name.
    for old in $(virsh_ secret-list | awk -v name="minicloud $1" 'index($0, name) {print $1}'); do
        virsh_ secret-undefine "$old"
    done
    cat >"$DIR/libvirt/secret-$1.xml" <<XML
<secret ephemeral="no" private="no">
  <uuid>$2</uuid>
  <usage type="ceph"><name>minicloud $1</name></usage>
</secret>
XML
    virsh_ secret-define "$DIR/libvirt/secret-$1.xml" && virsh_ secret-set-value "$2" "$key"
}

# Nova's domains that our Nova does not know, and QEMUs that libvirt has lost: they would hold names and disks.
libvirt_sweep() {
    local known uuid
    known=$(sql -N -e 'SELECT uuid FROM nova.instances WHERE deleted = 0')
    for uuid in $(virsh_ list --all --uuid); do
        [[ $known = *$uuid* ]] || [[ $(virsh_ domname "$uuid") != instance-* ]] || domain_forget "$uuid"
    done
    known=$(virsh_ list --uuid)
    guests | while read -r pid uuid; do [[ $known = *$uuid* ]] || kill -KILL "$pid"; done
}

domain_forget() {
    virsh_ destroy "$1" >/dev/null 2>&1 || :
    virsh_ undefine "$1" --managed-save --snapshots-metadata --checkpoints-metadata --nvram >/dev/null 2>&1 || :
}

guests() {                                   # "pid uuid" of each QEMU that runs one of Nova's guests
    local file pid args
    for file in /proc/[0-9]*/cmdline; do
        mapfile -d '' args 2>/dev/null <"$file" || continue
        [[ ${args[*]} =~ ^[^\ ]*qemu-system.*\ guest=instance-.*\ -uuid\ ([0-9a-f-]+) ]] || continue
        pid=${file%/cmdline}
        echo "${pid##*/} ${BASH_REMATCH[1]}"
    done
}

guests_end() {                               # nova-compute is down already, so Nova believes them ACTIVE and starts them again
    local uuid
    alive libvirtd || return 0
    for uuid in $(virsh_ list --uuid); do
        [[ $(virsh_ domname "$uuid") != instance-* ]] || virsh_ destroy "$uuid" >/dev/null || :
    done
}
