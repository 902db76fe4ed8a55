"""Flavors, the volume type and the image of the guest. Can be repeated; the names are also what reset.py keeps."""
import hashlib

FLAVORS = {
    'tiny': dict(ram=128, disk=1),
    'small': dict(ram=192, disk=2),
    'tiny-eph': dict(ram=128, disk=1, ephemeral=1, swap=64),
}
VOLUME_TYPE = 'ceph'
IMAGE = 'tick'


def make(cloud, guest_path):
    for name, size in FLAVORS.items():
        if not cloud.compute.find_flavor(name):
            cloud.compute.create_flavor(name=name, vcpus=1, **size)
    if not cloud.block_storage.find_type(VOLUME_TYPE):
        cloud.block_storage.create_type(name=VOLUME_TYPE, extra_specs={'volume_backend_name': VOLUME_TYPE})
    with open(guest_path, 'rb') as file:
        checksum = hashlib.file_digest(file, 'md5').hexdigest()
    for image in list(cloud.image.images(name=IMAGE)):
        if image.status != 'active':
            cloud.image.delete_image(image)  # an upload that was killed
        elif image.checksum == checksum:
            return
        else:  # servers may still use it; reset.py deletes it
            cloud.image.update_image(image, name=f'{IMAGE} (replaced)', visibility='private')
    cloud.create_image(IMAGE, filename=guest_path, disk_format='raw', container_format='bare', visibility='public',
                       wait=True, hw_qemu_guest_agent='yes', hw_rng_model='virtio')


if __name__ == '__main__':
    import sys

    import openstack
    make(openstack.connect(), sys.argv[1])
