/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtio over PCI, modern interface. [VIRTIO] 4.1 "Virtio Over PCI Bus". */
#ifndef DEVICE_VIRTIO_PCI_H
#define DEVICE_VIRTIO_PCI_H

#include "device/pci.h"
#include "device/virtio/virtio.h"

struct virtio_pci_config {
    const struct guest_memory *mem; /* outlives the device */
    struct msi_wire msi;
};

/* Puts a device behind a PCI function, to be given to pci_add; owns the device (and destroys it on
 * failure). Its `later` timer is fired by the host if the machine makes it one
 * (virtio_pci_timer). */
WARN_UNUSED int virtio_pci_create(struct pci_function **out, struct virtio_device *,
                                  const struct virtio_pci_config *);
struct device_timer *virtio_pci_timer(struct pci_function *);

#endif
