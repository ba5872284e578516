/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text written to a VGA's memory at 0xb8000 as a terminal's stream. The stream follows the cells
 * that change: the next cell of a row continues the line; a lower row, or a row that was cleared
 * since, begins a new one. Rows copied upwards are a scroll and have been shown. Registers: [VGA]
 * IBM "PS/2 Hardware Interface Technical Reference, Video Subsystems" (1992); they only remember.
 */
#include "device/vgatext.h"

#include "lib/state.h"

enum port {
    ATTR_INDEX = 0x0, /* 3c0 */
    ATTR_READ = 0x1,
    MISC_WRITE = 0x2, /* read: input status 0 */
    SEQ_INDEX = 0x4,
    SEQ_DATA = 0x5,
    DAC_MASK = 0x6,
    DAC_READ = 0x7,
    DAC_WRITE = 0x8,
    DAC_DATA = 0x9,
    MISC_READ = 0xc,
    GFX_INDEX = 0xe,
    GFX_DATA = 0xf,
    CRTC_INDEX = 0x14, /* 3d4 */
    CRTC_DATA = 0x15,
    STATUS = 0x1a, /* 3da */
};

#define MISC_COLOUR  0x67
#define STATUS_BLANK (BIT(0) | BIT(3)) /* display disabled, vertical retrace */

static uint8_t cell(const struct vgatext *v, uint32_t row, uint32_t column)
{
    return v->s.memory[row * VGATEXT_LINE + 2 * column];
}

static bool blank(uint8_t c) { return c == ' ' || c == 0; }

static void emit(struct vgatext *v, const char *text, size_t len)
{
    /* What a full backend does not take is lost, as on a screen nobody looks at. */
    if (v->out.write)
        v->out.write(v->out.ctx, text, len);
}

static char printable(uint8_t c)
{
    if (blank(c))
        return ' ';
    return c >= 0x20 && c < 0x7f ? (char)c : '.';
}

/* The stream goes on with the (visible) character that was just stored at row, column. */
static void show(struct vgatext *v, uint32_t row, uint32_t column)
{
    char text[1 + VGATEXT_COLUMNS];
    size_t n = 0;
    if (row != v->s.row || column < v->s.column || v->s.line_done) {
        if (v->s.column || row != v->s.row || v->s.line_done)
            text[n++] = '\n';
        v->s.row = row;
        v->s.column = 0;
        v->s.line_done = false;
    }
    while (v->s.column <= column)
        text[n++] = printable(cell(v, row, v->s.column++));
    emit(v, text, n);
}

static void store_char(struct vgatext *v, uint32_t row, uint32_t column, uint8_t c)
{
    uint8_t *at = &v->s.memory[row * VGATEXT_LINE + 2 * column], old = *at;
    if (c == old)
        return;
    /* A scroll: the text below moves up. Whatever was said there has been shown. */
    bool scroll = row < v->s.row && (row + 2) * VGATEXT_LINE <= VGATEXT_MEMORY &&
                  c == cell(v, row + 1, column);
    *at = c;
    if (scroll)
        return;
    if (!blank(c))
        show(v, row, column);
    else if (row == v->s.row && column < v->s.column)
        v->s.line_done = true;
}

static void write_memory(struct vgatext *v, uint32_t offset, uint8_t byte)
{
    uint32_t row = offset / VGATEXT_LINE, in_row = offset % VGATEXT_LINE;
    if ((in_row & 1) || (row + 1) * VGATEXT_LINE > VGATEXT_MEMORY)
        v->s.memory[offset] = byte;
    else
        store_char(v, row, in_row / 2, byte);
}

static uint8_t read_port(struct vgatext *v, enum port port)
{
    switch (port) {
    case ATTR_INDEX: return v->s.attr_index;
    case ATTR_READ: return v->s.attr[v->s.attr_index & 31];
    case SEQ_INDEX: return v->s.seq_index;
    case SEQ_DATA: return v->s.seq[v->s.seq_index & 7];
    case DAC_MASK: return v->s.dac_mask;
    case MISC_READ: return v->s.misc;
    case GFX_INDEX: return v->s.gfx_index;
    case GFX_DATA: return v->s.gfx[v->s.gfx_index & 15];
    case CRTC_INDEX: return v->s.crtc_index;
    case CRTC_DATA: return v->s.crtc[v->s.crtc_index & 31];
    case STATUS:
        v->s.attr_data = false;
        v->s.status ^= STATUS_BLANK; /* who waits for either edge sees it */
        return v->s.status;
    case MISC_WRITE:
    case DAC_READ:
    case DAC_WRITE:
    case DAC_DATA: return 0;
    }
    return 0xff;
}

static void write_port(struct vgatext *v, enum port port, uint8_t val)
{
    switch (port) {
    case ATTR_INDEX:
        if (v->s.attr_data)
            v->s.attr[v->s.attr_index & 31] = val;
        else
            v->s.attr_index = val;
        v->s.attr_data = !v->s.attr_data;
        break;
    case MISC_WRITE: v->s.misc = val; break;
    case SEQ_INDEX: v->s.seq_index = val; break;
    case SEQ_DATA: v->s.seq[v->s.seq_index & 7] = val; break;
    case DAC_MASK: v->s.dac_mask = val; break;
    case GFX_INDEX: v->s.gfx_index = val; break;
    case GFX_DATA: v->s.gfx[v->s.gfx_index & 15] = val; break;
    case CRTC_INDEX: v->s.crtc_index = val; break;
    case CRTC_DATA: v->s.crtc[v->s.crtc_index & 31] = val; break;
    case ATTR_READ:
    case DAC_READ:
    case DAC_WRITE:
    case DAC_DATA:
    case MISC_READ:
    case STATUS: break;
    }
}

static enum device_result vgatext_access(struct device *dev, unsigned region, uint64_t offset,
                                         unsigned size, uint64_t *val, bool write)
{
    struct vgatext *v = container_of(dev, struct vgatext, dev);
    if (region == VGATEXT_REGION_MEMORY) {
        if (!range_ok(offset, size, VGATEXT_MEMORY))
            return DEVICE_UNMAPPED;
        if (!write)
            *val = le_get(v->s.memory + offset, size);
        for (unsigned i = 0; write && i < size; i++)
            write_memory(v, (uint32_t)offset + i, (uint8_t)(*val >> 8 * i));
        return DEVICE_OK;
    }
    if (!range_ok(offset, size, VGATEXT_PORTS))
        return DEVICE_UNMAPPED;
    uint64_t got = 0;
    for (unsigned i = 0; i < size; i++) {
        if (write)
            write_port(v, (enum port)(offset + i), (uint8_t)(*val >> 8 * i));
        else
            got |= (uint64_t)read_port(v, (enum port)(offset + i)) << 8 * i;
    }
    if (!write)
        *val = got;
    return DEVICE_OK;
}

static void vgatext_reset(struct device *dev)
{
    struct vgatext *v = container_of(dev, struct vgatext, dev);
    if (v->s.column)
        emit(v, "\n", 1);
    __builtin_memset(&v->s, 0, sizeof(v->s));
    v->s.misc = MISC_COLOUR;
    v->s.dac_mask = 0xff;
}

static int vgatext_state(struct device *dev, struct state *st)
{
    struct vgatext *v = container_of(dev, struct vgatext, dev);
    STATE_BYTES(st, &v->s, memory);
    STATE_INT(st, &v->s, row, 0, VGATEXT_MEMORY / VGATEXT_LINE - 1);
    STATE_INT(st, &v->s, column, 0, VGATEXT_COLUMNS);
    STATE_INT(st, &v->s, line_done, 0, 1);
    STATE_INT(st, &v->s, attr_index, 0, 0xff);
    STATE_INT(st, &v->s, seq_index, 0, 0xff);
    STATE_INT(st, &v->s, gfx_index, 0, 0xff);
    STATE_INT(st, &v->s, crtc_index, 0, 0xff);
    STATE_INT(st, &v->s, misc, 0, 0xff);
    STATE_INT(st, &v->s, dac_mask, 0, 0xff);
    STATE_BYTES(st, &v->s, attr);
    STATE_BYTES(st, &v->s, seq);
    STATE_BYTES(st, &v->s, gfx);
    STATE_BYTES(st, &v->s, crtc);
    STATE_INT(st, &v->s, attr_data, 0, 1);
    STATE_INT(st, &v->s, status, 0, 0xff);
    return st->error;
}

static const struct device_ops vgatext_ops = {
    .name = "vgatext",
    .access = vgatext_access,
    .reset = vgatext_reset,
    .state = vgatext_state,
};

void vgatext_init(struct vgatext *v)
{
    v->dev.ops = &vgatext_ops;
    v->s.column = 0;
    vgatext_reset(&v->dev);
}
