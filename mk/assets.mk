# SPDX-License-Identifier: BSD-2-Clause
# What the tests and `make run` boot: Debian's own kernels by package name, unpacked into build/assets.

A := $(B)/assets

# name = package:architecture
KERNELS      := cloud-amd64 amd64 cloud-6.12 686-pae 686
PKG_cloud-amd64 := linux-image-cloud-amd64 amd64
PKG_amd64       := linux-image-amd64 amd64
PKG_cloud-6.12  := linux-image-6.12-cloud-amd64 amd64
PKG_686-pae     := linux-image-686-pae i386
PKG_686         := linux-image-686 i386

$(A)/%/package: tools/fetch-deb
	$(Q)mkdir -p $(A)
	@echo "  FETCH   $(firstword $(PKG_$*))"
	$(Q)tools/fetch-deb $(PKG_$*) $(A)/$*
PKG_busybox-i386 := busybox-static i386

BUSYBOX_amd64 := /bin/busybox
BUSYBOX_i386  := $(A)/busybox-i386/bin/busybox
$(BUSYBOX_i386): $(A)/busybox-i386/package

INIT_DEPS := tools/mkinitramfs guest/linux/init
$(A)/shell.img: $(INIT_DEPS) $(A)/cloud-amd64/package
	$(Q)tools/mkinitramfs $@ shell $(BUSYBOX_amd64) $(A)/cloud-amd64 virtio_pci virtio_blk virtio_net virtio_rng ext4
$(A)/root.img: $(INIT_DEPS) $(A)/cloud-amd64/package
	$(Q)tools/mkinitramfs $@ root $(BUSYBOX_amd64) $(A)/cloud-amd64 virtio_pci virtio_blk virtio_net virtio_rng ext4
$(A)/test-amd64.img: $(INIT_DEPS)
	$(Q)mkdir -p $(A)
	$(Q)tools/mkinitramfs $@ test $(BUSYBOX_amd64)
$(A)/test-i386.img: $(INIT_DEPS) $(A)/busybox-i386/package
	$(Q)tools/mkinitramfs $@ test $(BUSYBOX_i386)

.PHONY: assets
assets: $(KERNELS:%=$(A)/%/package) $(A)/shell.img $(A)/root.img $(A)/test-amd64.img $(A)/test-i386.img
$(A)/vmlinux-%: tools/extract-vmlinux $(A)/%/package
	$(Q)tools/extract-vmlinux $(A)/$*/boot/vmlinuz-* $@
assets: $(A)/vmlinux-cloud-amd64 $(A)/vmlinux-686-pae

# One or two minutes to make, 450 MB.
$(A)/debian.img: tools/mkrootfs
	@echo "  ROOTFS  $@"
	$(Q)tools/mkrootfs $@
