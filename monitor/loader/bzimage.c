/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux bzImage by the 64-bit boot protocol, or the 32-bit one for kernels without a 64-bit entry.
 * [Linux] Documentation/arch/x86/boot.rst and zero-page.rst.
 */
#include <errno.h>
#include <string.h>

#include "monitor/loader/loader.h"

enum {
    HEADER = 0x1f1, /* setup_header in the file and in boot_params */
    HEADER_MAX_END = 0x290,
    PARAMS_SIZE = 4096,
    SECTOR = 512,
    ENTRY64 = 0x200, /* from the load address */
    E820_TABLE = 0x2d0,
    E820_ENTRY = 20,
    E820_MAX = 128,
    LOADER_UNDEFINED = 0xff,
    LOADED_HIGH = 1,
    QUIET_FLAG = 1 << 5,
    XLF_KERNEL_64 = 1
};
/* Offsets in the file's first sectors and in boot_params alike. */
enum {
    ACPI_RSDP_ADDR = 0x070,
    E820_ENTRIES = 0x1e8,
    SETUP_SECTS = 0x1f1,
    SYSSIZE = 0x1f4,
    VID_MODE = 0x1fa,
    BOOT_FLAG = 0x1fe,
    JUMP = 0x200,
    MAGIC = 0x202,
    VERSION = 0x206,
    TYPE_OF_LOADER = 0x210,
    LOADFLAGS = 0x211,
    CODE32_START = 0x214,
    RAMDISK_IMAGE = 0x218,
    RAMDISK_SIZE = 0x21c,
    CMD_LINE_PTR = 0x228,
    INITRD_ADDR_MAX = 0x22c,
    KERNEL_ALIGNMENT = 0x230,
    RELOCATABLE = 0x234,
    XLOADFLAGS = 0x236,
    CMDLINE_SIZE = 0x238,
    SETUP_DATA = 0x250,
    PREF_ADDRESS = 0x258,
    INIT_SIZE = 0x260
};

struct image {
    unsigned version;
    uint64_t offset, size; /* protected-mode kernel in the file */
    uint64_t load, init_size;
    uint64_t initrd_max; /* highest address an initrd may touch */
    uint32_t cmdline_max;
    bool is64;
    uint8_t params[PARAMS_SIZE];
};

bool bzimage_is(const struct loader *l)
{
    return l->head_len >= 0x264 && le16(l->head + BOOT_FLAG) == 0xaa55 &&
           !memcmp(l->head + MAGIC, "HdrS", 4);
}

static int read_header(struct loader *l, struct image *b)
{
    const uint8_t *h = l->head;
    unsigned sects = h[SETUP_SECTS] ? h[SETUP_SECTS] : 4;
    uint64_t declared = le32(h + SYSSIZE) * 16ull, end;

    b->version = le16(h + VERSION);
    if (b->version < 0x202 || !(h[LOADFLAGS] & LOADED_HIGH))
        return loader_file_fail(l, &l->kernel, -ENOEXEC,
                                "boot protocol %u.%02u or a zImage: too old (bzImage, 2.02 or "
                                "later)",
                                b->version >> 8, b->version & 0xff);
    b->offset = (sects + 1) * (uint64_t)SECTOR;
    if (b->offset >= l->kernel.size)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "is truncated");
    b->size = l->kernel.size - b->offset;
    /* The declared size is rounded up; signatures may follow it. */
    if (declared > b->size + SECTOR)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "is truncated: %llu of %llu bytes",
                                (unsigned long long)b->size, (unsigned long long)declared);
    b->is64 = b->version >= 0x20c && (le16(h + XLOADFLAGS) & XLF_KERNEL_64);
    b->initrd_max = b->version >= 0x203 ? le32(h + INITRD_ADDR_MAX) : 0x37ffffff;
    b->cmdline_max = b->version >= 0x206 ? le32(h + CMDLINE_SIZE) : 255;
    /* [Linux] "The setup header": it ends at 0x202 plus the offset byte of the jump. */
    end = MIN((uint64_t)MAGIC + h[JUMP + 1], (uint64_t)HEADER_MAX_END);
    if (end < CMD_LINE_PTR + 4)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad bzImage: setup header too short");
    memcpy(b->params + HEADER, h + HEADER, end - HEADER);
    return 0;
}

/* Decides where the kernel goes and takes the memory it needs to start. */
static int place(struct loader *l, struct image *b)
{
    const uint8_t *h = l->head;
    bool relocatable = b->version >= 0x205 && h[RELOCATABLE];
    uint64_t align = b->version >= 0x205 ? le32(h + KERNEL_ALIGNMENT) : 0;
    uint64_t limit = PC_HOLE_START;
    int e;

    b->load = MiB(1);
    b->init_size = b->size;
    if (b->version >= 0x20a) {
        b->load = le64(h + PREF_ADDRESS);
        b->init_size = MAX((uint64_t)le32(h + INIT_SIZE), b->size);
    }
    if (b->load >= MiB(1) && range_ok(b->load, b->init_size, limit)) {
        e = loader_claim(l, b->load, b->init_size, "the kernel");
        if (!e || !relocatable)
            return e;
    } else if (!relocatable) {
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad bzImage: load address %#llx",
                                (unsigned long long)b->load);
    }
    if (!align || align & (align - 1) || align > GiB(1))
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad bzImage: alignment %#llx",
                                (unsigned long long)align);
    return loader_alloc(l, b->init_size, align, MiB(1), limit, false, "the kernel", &b->load);
}

static int place_initrd(struct loader *l, struct image *b)
{
    uint64_t gpa, limit = MIN(b->initrd_max + 1, 1ull << 32), size = l->initrd.size;
    int e;
    if (!l->have_initrd)
        return 0;
    if (size > UINT32_MAX)
        return loader_file_fail(l, &l->initrd, -E2BIG, "is larger than 4 GiB");
    /* As high as possible: the kernel decompresses into what is behind itself. */
    e = loader_alloc(l, size, 4096, MiB(1), limit, true, "the initrd", &gpa);
    if (e)
        return loader_file_fail(l, &l->initrd, e,
                                "%llu MiB do not fit into memory beside the kernel (more "
                                "--memory?)",
                                (unsigned long long)(size + MiB(1) - 1) >> 20);
    e = loader_copy(l, &l->initrd, 0, size, gpa, size);
    if (e)
        return e;
    le32_put(b->params + RAMDISK_IMAGE, (uint32_t)gpa);
    le32_put(b->params + RAMDISK_SIZE, (uint32_t)size);
    return 0;
}

/* Identity map of the low 4 GiB in 2 MiB pages: PML4, PDPT, four page directories. */
static int page_tables(struct loader *l, uint64_t *cr3)
{
    enum { PRESENT_WRITE = 3, LARGE = 0x80 };
    uint64_t table[512] = { 0 }, base;
    int e = loader_alloc(l, 6 * 4096, 4096, 0x1000, PC_LOW_RAM_END, false, "page tables", &base);
    if (e)
        return e;
    table[0] = (base + 4096) | PRESENT_WRITE;
    e = loader_put(l, base, table, sizeof(table));
    for (unsigned i = 0; i < 4; i++)
        table[i] = (base + (2 + i) * 4096) | PRESENT_WRITE;
    if (!e)
        e = loader_put(l, base + 4096, table, sizeof(table));
    for (unsigned d = 0; !e && d < 4; d++) {
        for (unsigned i = 0; i < 512; i++)
            table[i] = (GiB(d) + i * MiB(2)) | PRESENT_WRITE | LARGE;
        e = loader_put(l, base + (2 + d) * 4096, table, sizeof(table));
    }
    *cr3 = base;
    return e;
}

static int command_line(struct loader *l, struct image *b)
{
    uint64_t gpa;
    size_t len = strlen(l->append);
    int e;
    if (len > b->cmdline_max)
        return loader_fail(l, -E2BIG, "--append: %zu characters, this kernel takes %u", len,
                           b->cmdline_max);
    e = loader_put_low(l, l->append, len + 1, 16, "the command line", &gpa);
    if (!e)
        le32_put(b->params + CMD_LINE_PTR, (uint32_t)gpa);
    return e;
}

static void fill_params(struct loader *l, struct image *b)
{
    struct loader_e820 e820[LOADER_MAX_E820];
    unsigned n = MIN(loader_e820(l, e820), (unsigned)E820_MAX);
    uint8_t *p = b->params;

    p[TYPE_OF_LOADER] = LOADER_UNDEFINED;
    p[LOADFLAGS] &= (uint8_t)~QUIET_FLAG;
    le16_put(p + VID_MODE, 0xffff); /* "normal" */
    le32_put(p + CODE32_START, (uint32_t)b->load);
    if (b->version >= 0x209)
        le64_put(p + SETUP_DATA, 0); /* a list we do not have */
    le64_put(p + ACPI_RSDP_ADDR, l->rsdp);
    for (unsigned i = 0; i < n; i++) {
        uint8_t *entry = p + E820_TABLE + i * E820_ENTRY;
        le64_put(entry, e820[i].base);
        le64_put(entry + 8, e820[i].len);
        le32_put(entry + 16, e820[i].type);
    }
    p[E820_ENTRIES] = (uint8_t)n;
}

int bzimage_load(struct loader *l, struct boot_state *boot)
{
    struct image b = { 0 };
    uint64_t params;
    int e;

    if (l->modules)
        return loader_fail(l, -EINVAL, "--module: a Linux kernel takes none (--initrd?)");
    e = read_header(l, &b);
    if (!e)
        e = place(l, &b);
    if (!e)
        e = loader_copy(l, &l->kernel, b.offset, b.size, b.load, b.size);
    if (!e)
        e = place_initrd(l, &b);
    if (!e)
        e = command_line(l, &b);
    if (e)
        return e;
    fill_params(l, &b);
    e = loader_put_low(l, b.params, sizeof(b.params), 4096, "boot parameters", &params);
    if (e)
        return e;
    boot->rsi = params;
    if (!b.is64) {
        boot->mode = BOOT_FLAT32;
        boot->rip = b.load;
        return 0;
    }
    boot->mode = BOOT_LONG64;
    boot->rip = b.load + ENTRY64;
    return page_tables(l, &boot->cr3);
}
