/* SPDX-License-Identifier: BSD-2-Clause */
/* A small AML writer: appends encoded objects to a buffer; nesting by begin/end. */
#ifndef MONITOR_MACHINE_AML_H
#define MONITOR_MACHINE_AML_H

#include "lib/bits.h"

struct aml {
    uint8_t *buf;
    size_t len, capacity;
    bool overflow; /* what did not fit is dropped; sticks */
};

/* Names are NameStrings as in ASL: "\\_SB", "PCI0", "_HID"; single segments of up to 4 letters, or
 * with a leading backslash. */
void aml_name(struct aml *, const char *name); /* Name (name, <next object>) */
void aml_integer(struct aml *, uint64_t);
void aml_string(struct aml *, const char *);
void aml_eisa_id(struct aml *, const char *id); /* "PNP0A08" */
/* Package-length objects: begin returns the mark that end takes. */
size_t aml_scope(struct aml *, const char *name);
size_t aml_device(struct aml *, const char *name);
size_t aml_package(struct aml *, uint8_t elements);
void aml_end(struct aml *, size_t mark);

/* A resource template: Buffer of small and large resource items. */
size_t aml_resources(struct aml *);
void aml_end_resources(struct aml *, size_t mark);
void aml_io(struct aml *, uint16_t base, uint8_t len);
void aml_irq(struct aml *, unsigned irq); /* edge, active high, exclusive */
void aml_memory32_fixed(struct aml *, uint32_t base, uint32_t len);
void aml_bus_range(struct aml *, uint16_t first, uint16_t last);
void aml_io_window(struct aml *, uint16_t first, uint16_t last);
void aml_memory32_window(struct aml *, uint32_t first, uint32_t last);
void aml_memory64_window(struct aml *, uint64_t first, uint64_t last);

#endif
