/* SPDX-License-Identifier: BSD-2-Clause */
/* AML encoding: [ACPI] 6.4 chapter 20 "ACPI Machine Language (AML) Specification", resources from
 * section 6.4 "Resource Data Types for ACPI". */
#include "monitor/machine/aml.h"

#include <string.h>

enum op {
    OP_ZERO = 0x00,
    OP_ONE = 0x01,
    OP_NAME = 0x08,
    OP_BYTE = 0x0a,
    OP_WORD = 0x0b,
    OP_DWORD = 0x0c,
    OP_STRING = 0x0d,
    OP_QWORD = 0x0e,
    OP_SCOPE = 0x10,
    OP_BUFFER = 0x11,
    OP_PACKAGE = 0x12,
    OP_EXT = 0x5b,
    OP_EXT_DEVICE = 0x82,
};

enum resource {
    RES_IRQ = 0x22, /* small, two bytes */
    RES_IO = 0x47,  /* small, seven bytes */
    RES_END = 0x79,
    RES_MEMORY32_FIXED = 0x86,
    RES_DWORD_SPACE = 0x87,
    RES_WORD_SPACE = 0x88,
    RES_QWORD_SPACE = 0x8a,
};
enum space { SPACE_MEMORY = 0, SPACE_IO = 1, SPACE_BUS = 2 };

#define WINDOW_FIXED     0x0c /* minimum and maximum fixed, positive decode, we produce it */
#define IO_ENTIRE_RANGE  0x03
#define MEMORY_READWRITE 0x01

static void put(struct aml *a, const void *p, size_t len)
{
    if (!range_ok(a->len, len, a->capacity)) {
        a->overflow = true;
        return;
    }
    memcpy(a->buf + a->len, p, len);
    a->len += len;
}

static void put_int(struct aml *a, uint64_t v, unsigned n)
{
    uint8_t b[8];
    le64_put(b, v);
    put(a, b, n);
}

static void op(struct aml *a, uint8_t v) { put(a, &v, 1); }

static void name_string(struct aml *a, const char *name)
{
    char seg[4] = { '_', '_', '_', '_' };
    if (*name == '\\') {
        op(a, '\\');
        name++;
    }
    memcpy(seg, name, strnlen(name, sizeof(seg)));
    put(a, seg, sizeof(seg));
}

/* The length goes before the contents and its own size depends on it, so it is put in at the end,
 * and the contents move up. */
static size_t begin(struct aml *a) { return a->len; }

void aml_end(struct aml *a, size_t mark)
{
    uint8_t enc[4];
    size_t n = 1, body = a->len - mark;
    if (body + 1 < 0x40) {
        enc[0] = (uint8_t)(body + 1);
    } else {
        n = body + 2 < 0x1000 ? 2 : 3;
        size_t total = body + n;
        enc[0] = (uint8_t)((n - 1) << 6 | (total & 15));
        enc[1] = (uint8_t)(total >> 4);
        enc[2] = (uint8_t)(total >> 12);
    }
    if (a->overflow || !range_ok(a->len, n, a->capacity)) {
        a->overflow = true;
        return;
    }
    memmove(a->buf + mark + n, a->buf + mark, body);
    memcpy(a->buf + mark, enc, n);
    a->len += n;
}

void aml_name(struct aml *a, const char *name)
{
    op(a, OP_NAME);
    name_string(a, name);
}

void aml_integer(struct aml *a, uint64_t v)
{
    if (v <= 1) {
        op(a, v ? OP_ONE : OP_ZERO);
    } else if (v <= UINT8_MAX) {
        op(a, OP_BYTE);
        put_int(a, v, 1);
    } else if (v <= UINT16_MAX) {
        op(a, OP_WORD);
        put_int(a, v, 2);
    } else if (v <= UINT32_MAX) {
        op(a, OP_DWORD);
        put_int(a, v, 4);
    } else {
        op(a, OP_QWORD);
        put_int(a, v, 8);
    }
}

void aml_string(struct aml *a, const char *s)
{
    op(a, OP_STRING);
    put(a, s, strlen(s) + 1);
}

static unsigned hex(char c) { return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A') + 10; }

/* Three letters of five bits and four hexadecimal digits, big-endian. */
void aml_eisa_id(struct aml *a, const char *id)
{
    uint32_t v = (uint32_t)(id[0] - 0x40) << 26 | (uint32_t)(id[1] - 0x40) << 21 |
                 (uint32_t)(id[2] - 0x40) << 16 | hex(id[3]) << 12 | hex(id[4]) << 8 |
                 hex(id[5]) << 4 | hex(id[6]);
    op(a, OP_DWORD);
    put_int(a, __builtin_bswap32(v), 4);
}

size_t aml_scope(struct aml *a, const char *name)
{
    op(a, OP_SCOPE);
    size_t mark = begin(a);
    name_string(a, name);
    return mark;
}

size_t aml_device(struct aml *a, const char *name)
{
    op(a, OP_EXT);
    op(a, OP_EXT_DEVICE);
    size_t mark = begin(a);
    name_string(a, name);
    return mark;
}

size_t aml_package(struct aml *a, uint8_t elements)
{
    op(a, OP_PACKAGE);
    size_t mark = begin(a);
    op(a, elements);
    return mark;
}

/* A buffer's size is an object in front of its bytes: always a word here, patched at the end. */
enum { BUFFER_HEAD = 3 };

size_t aml_resources(struct aml *a)
{
    op(a, OP_BUFFER);
    size_t mark = begin(a);
    op(a, OP_WORD);
    put_int(a, 0, 2);
    return mark;
}

void aml_end_resources(struct aml *a, size_t mark)
{
    op(a, RES_END);
    op(a, 0); /* no checksum */
    if (!a->overflow)
        le16_put(a->buf + mark + 1, (uint16_t)(a->len - mark - BUFFER_HEAD));
    aml_end(a, mark);
}

void aml_io(struct aml *a, uint16_t base, uint8_t len)
{
    op(a, RES_IO);
    op(a, 1); /* decodes 16 bits */
    put_int(a, base, 2);
    put_int(a, base, 2);
    op(a, 1); /* alignment */
    op(a, len);
}

void aml_irq(struct aml *a, unsigned irq)
{
    op(a, RES_IRQ);
    put_int(a, 1u << irq, 2);
}

void aml_memory32_fixed(struct aml *a, uint32_t base, uint32_t len)
{
    op(a, RES_MEMORY32_FIXED);
    put_int(a, 9, 2);
    op(a, MEMORY_READWRITE);
    put_int(a, base, 4);
    put_int(a, len, 4);
}

/* An address space descriptor of field width n. */
static void window(struct aml *a, enum resource res, unsigned n, enum space space, uint8_t flags,
                   uint64_t first, uint64_t last)
{
    op(a, res);
    put_int(a, 3 + 5 * n, 2);
    op(a, space);
    op(a, WINDOW_FIXED);
    op(a, flags);
    put_int(a, 0, n); /* granularity */
    put_int(a, first, n);
    put_int(a, last, n);
    put_int(a, 0, n); /* translation */
    put_int(a, last - first + 1, n);
}

void aml_bus_range(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, RES_WORD_SPACE, 2, SPACE_BUS, 0, first, last);
}

void aml_io_window(struct aml *a, uint16_t first, uint16_t last)
{
    window(a, RES_WORD_SPACE, 2, SPACE_IO, IO_ENTIRE_RANGE, first, last);
}

void aml_memory32_window(struct aml *a, uint32_t first, uint32_t last)
{
    window(a, RES_DWORD_SPACE, 4, SPACE_MEMORY, MEMORY_READWRITE, first, last);
}

void aml_memory64_window(struct aml *a, uint64_t first, uint64_t last)
{
    window(a, RES_QWORD_SPACE, 8, SPACE_MEMORY, MEMORY_READWRITE, first, last);
}
