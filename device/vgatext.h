/* SPDX-License-Identifier: BSD-2-Clause */
/* The colour text window of a VGA, shown as a stream of lines, and enough registers to be found. */
#ifndef DEVICE_VGATEXT_H
#define DEVICE_VGATEXT_H

#include "device/device.h"

enum {
    VGATEXT_MEMORY = 0x8000,
    VGATEXT_COLUMNS = 80,
    VGATEXT_LINE = 2 * VGATEXT_COLUMNS, /* bytes: character, attribute */
    VGATEXT_PORTS = 0x20,               /* 3c0-3df */
};
enum vgatext_region { VGATEXT_REGION_MEMORY, VGATEXT_REGION_PORTS };

struct vgatext {
    struct device dev;
    struct char_backend out;
    struct {
        uint8_t memory[VGATEXT_MEMORY];
        uint32_t row, column; /* where the stream is: before this cell */
        bool line_done;       /* the row was cleared or moved away: the next text is a new line */
        uint8_t attr_index, seq_index, gfx_index, crtc_index, misc, dac_mask;
        uint8_t attr[32], seq[8], gfx[16], crtc[32];
        bool attr_data; /* the attribute port's flip-flop */
        uint8_t status;
    } s;
};

/* On the caller's memory, with out filled in. */
void vgatext_init(struct vgatext *);

#endif
