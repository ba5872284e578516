/* SPDX-License-Identifier: BSD-2-Clause */
/* [Multiboot2] Multiboot2 Specification version 2.0: ELF images and images with an address tag. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "monitor/loader/loader.h"

#define MB2_HEADER_MAGIC 0xe85250d6u
#define MB2_BOOT_MAGIC   0x36d76289u

enum {
    /* header tags */
    TAG_END = 0,
    TAG_INFO_REQUEST = 1,
    TAG_ADDRESS = 2,
    TAG_ENTRY = 3,
    TAG_CONSOLE = 4,
    TAG_FRAMEBUFFER = 5,
    TAG_MODULE_ALIGN = 6,
    TAG_EFI_BOOT_SERVICES = 7,
    TAG_ENTRY_EFI32 = 8,
    TAG_ENTRY_EFI64 = 9,
    TAG_RELOCATABLE = 10,
    TAG_OPTIONAL = 1, /* flag */
    /* information tags */
    INFO_END = 0,
    INFO_CMDLINE = 1,
    INFO_LOADER_NAME = 2,
    INFO_MODULE = 3,
    INFO_MEMORY = 4,
    INFO_MMAP = 6,
    INFO_FRAMEBUFFER = 8,
    INFO_ACPI_OLD = 14,
    INFO_ACPI_NEW = 15,
    INFO_LAST = 21, /* the highest the document knows */
    INFO_MAX = 256 * 1024
};

struct header {
    struct multiboot_address address;
    bool has_address, has_entry, wants_framebuffer;
    uint32_t entry;
};

/* The information structure while it is built. */
struct info {
    struct loader *l;
    uint8_t *buf;
    uint32_t len;
};

int multiboot2_find(const struct loader *l)
{
    for (size_t i = 0; i + 16 <= l->head_len; i += 8) {
        const uint8_t *p = l->head + i;
        if (le32(p) == MB2_HEADER_MAGIC && !(le32(p) + le32(p + 4) + le32(p + 8) + le32(p + 12)))
            return (int)i;
    }
    return -1;
}

static int bad(struct loader *l, const char *what)
{
    return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad multiboot2 header: %s", what);
}

static int unsupported(struct loader *l, unsigned type)
{
    return loader_file_fail(l, &l->kernel, -ENOTSUP,
                            "multiboot2 kernel requires header tag %u, which is not supported",
                            type);
}

static int parse_tag(struct loader *l, const uint8_t *t, unsigned type, bool optional,
                     uint32_t size, struct header *h)
{
    switch (type) {
    case TAG_INFO_REQUEST:
        for (uint32_t i = 8; i + 4 <= size; i += 4)
            if (le32(t + i) > INFO_LAST && !optional)
                return loader_file_fail(l, &l->kernel, -ENOTSUP,
                                        "multiboot2 kernel requires information tag %u, which is "
                                        "not supported",
                                        le32(t + i));
        return 0;
    case TAG_ADDRESS:
        if (size < 24)
            return bad(l, "address tag too short");
        h->has_address = true;
        h->address =
            (struct multiboot_address){ le32(t + 8), le32(t + 12), le32(t + 16), le32(t + 20) };
        return 0;
    case TAG_ENTRY:
        if (size < 12)
            return bad(l, "entry tag too short");
        h->has_entry = true;
        h->entry = le32(t + 8);
        return 0;
    case TAG_FRAMEBUFFER: h->wants_framebuffer = true; return 0; /* a wish: gets text mode */
    case TAG_CONSOLE:
    case TAG_MODULE_ALIGN: /* modules always are */
    case TAG_ENTRY_EFI32:  /* for EFI firmware only */
    case TAG_ENTRY_EFI64:
    case TAG_RELOCATABLE: return 0; /* may be moved, need not */
    case TAG_EFI_BOOT_SERVICES:
    default: return optional ? 0 : unsupported(l, type);
    }
}

static int parse_header(struct loader *l, unsigned at, struct header *h)
{
    uint32_t len = le32(l->head + at + 8), pos = 16;
    memset(h, 0, sizeof(*h));
    if (le32(l->head + at + 4) != 0)
        return bad(l, "not for x86");
    if (len < 16 || len > l->head_len - at)
        return bad(l, "longer than the first 32 KiB of the file");
    while (pos + 8 <= len) {
        const uint8_t *t = l->head + at + pos;
        uint32_t size = le32(t + 4);
        int e;
        if (le16(t) == TAG_END)
            return 0;
        if (size < 8 || size > len - pos)
            return bad(l, "tag of an impossible size");
        e = parse_tag(l, t, le16(t), le16(t + 2) & TAG_OPTIONAL, size, h);
        if (e)
            return e;
        if (ALIGN_UP(size, 8u) > len - pos)
            break;
        pos += ALIGN_UP(size, 8u);
    }
    return bad(l, "no end tag");
}

/* Starts a tag with a body of len bytes; NULL if it does not fit. The buffer is zeroed. */
static uint8_t *add_tag(struct info *b, uint32_t type, uint64_t len)
{
    uint8_t *t = b->buf + b->len;
    if (len > INFO_MAX || b->len + ALIGN_UP(8 + len, 8u) > INFO_MAX)
        return NULL;
    le32_put(t, type);
    le32_put(t + 4, (uint32_t)(8 + len));
    b->len += (uint32_t)ALIGN_UP(8 + len, 8u);
    return t + 8;
}

static int no_room(struct loader *l)
{
    return loader_file_fail(l, &l->kernel, -E2BIG, "too much multiboot2 information");
}

static int add_module(void *arg, uint64_t gpa, uint64_t len, const char *args)
{
    struct info *b = arg;
    uint8_t *t = add_tag(b, INFO_MODULE, 8 + strlen(args) + 1);
    if (!t)
        return no_room(b->l);
    le32_put(t, (uint32_t)gpa);
    le32_put(t + 4, (uint32_t)(gpa + len));
    memcpy(t + 8, args, strlen(args) + 1);
    return 0;
}

static int add_memory(struct info *b)
{
    struct loader_e820 e820[LOADER_MAX_E820];
    unsigned n = loader_e820(b->l, e820);
    uint8_t *basic = add_tag(b, INFO_MEMORY, 8);
    uint8_t *map = add_tag(b, INFO_MMAP, 8 + n * 24ull);
    if (!basic || !map)
        return no_room(b->l);
    le32_put(map, 24); /* entry size, version 0 */
    for (unsigned i = 0; i < n; i++) {
        uint8_t *p = map + 8 + i * 24;
        le64_put(p, e820[i].base);
        le64_put(p + 8, e820[i].len);
        le32_put(p + 16, e820[i].type);
        if (e820[i].type == MEMMAP_RAM && e820[i].base == 0)
            le32_put(basic, (uint32_t)(MIN(e820[i].len, KiB(640)) >> 10));
        if (e820[i].type == MEMMAP_RAM && e820[i].base == MiB(1))
            le32_put(basic + 4, (uint32_t)(e820[i].len >> 10));
    }
    return 0;
}

/* Copies of the RSDP: [ACPI] "Root System Description Pointer (RSDP) Structure". */
static int add_acpi(struct info *b)
{
    uint8_t rsdp[36], *t;
    if (!b->l->rsdp || guest_read(b->l->mem, b->l->rsdp, rsdp, sizeof(rsdp)))
        return 0;
    t = add_tag(b, INFO_ACPI_OLD, 20);
    if (!t)
        return no_room(b->l);
    memcpy(t, rsdp, 20);
    if (rsdp[15] >= 2) {
        t = add_tag(b, INFO_ACPI_NEW, sizeof(rsdp));
        if (!t)
            return no_room(b->l);
        memcpy(t, rsdp, sizeof(rsdp));
    }
    return 0;
}

static int add_framebuffer(struct info *b)
{
    uint8_t *t = add_tag(b, INFO_FRAMEBUFFER, 24);
    if (!t)
        return no_room(b->l);
    le64_put(t, PC_VGA_TEXT);
    le32_put(t + 8, 160); /* pitch */
    le32_put(t + 12, 80);
    le32_put(t + 16, 25);
    t[20] = 16; /* bits per character */
    t[21] = 2;  /* EGA text */
    return 0;
}

static int build_info(struct info *b, const struct header *h)
{
    static const char name[] = "Trapeze";
    struct loader *l = b->l;
    uint8_t *t;
    /* No file name in front, unlike multiboot 1. */
    size_t len = strlen(l->append) + 1;
    int e;

    b->len = 8; /* total size, reserved */
    if (!(t = add_tag(b, INFO_CMDLINE, len)))
        return no_room(l);
    memcpy(t, l->append, len);
    if (!(t = add_tag(b, INFO_LOADER_NAME, sizeof(name))))
        return no_room(l);
    memcpy(t, name, sizeof(name));
    e = loader_modules(l, loader_used_end(l), add_module, b);
    if (!e)
        e = add_memory(b);
    if (!e)
        e = add_acpi(b);
    if (!e && h->wants_framebuffer)
        e = add_framebuffer(b);
    if (!e && !add_tag(b, INFO_END, 0))
        e = no_room(l);
    le32_put(b->buf, b->len);
    return e;
}

int multiboot2_load(struct loader *l, unsigned at, struct boot_state *boot)
{
    struct info b = { .l = l };
    struct elf_image elf = { 0 };
    struct header h;
    uint64_t gpa, entry;
    int e = parse_header(l, at, &h);
    if (e)
        return e;
    if (h.has_address) {
        if (!h.has_entry)
            return bad(l, "address tag without entry tag");
        e = multiboot_load_flat(l, at, &h.address);
        entry = h.entry;
    } else if (elf_is(l)) {
        e = elf_load(l, &elf);
        entry = h.has_entry ? h.entry : elf.entry;
        if (!e && (entry < elf.low || entry >= elf.high))
            e = bad(l, "entry outside the image");
    } else {
        return bad(l, "no address tag, and not ELF");
    }
    if (e)
        return e;
    b.buf = calloc(1, INFO_MAX);
    if (!b.buf)
        return loader_file_fail(l, &l->kernel, -ENOMEM, "out of memory");
    e = build_info(&b, &h);
    if (!e)
        e = loader_put_low(l, b.buf, b.len, 8, "multiboot2 information", &gpa);
    free(b.buf);
    if (e)
        return e;
    boot->mode = BOOT_FLAT32;
    boot->rip = entry;
    boot->rax = MB2_BOOT_MAGIC;
    boot->rbx = gpa;
    return 0;
}
