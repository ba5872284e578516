/* SPDX-License-Identifier: BSD-2-Clause */
/* Kernel loaders: every format by a small image made here, and hostile variants of each. */
#include "monitor/loader/loader.h"

#include <elf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

enum { RAM = 24 << 20 };

static uint8_t *ram;
static char error[512];
static uint8_t image[128 * 1024];
static struct boot_state boot;

static void *map(void *ctx, uint64_t gpa, uint64_t len, bool write)
{
    (void)ctx;
    (void)write;
    return range_ok(gpa, len, RAM) ? ram + gpa : NULL;
}

static const struct guest_memory mem = { map, NULL, NULL };
static const struct memmap memory = { { { 0, PC_LOW_RAM_END, MEMMAP_RAM, "low" },
                                        { PC_BIOS_ROM, 0x20000, MEMMAP_RESERVED, "bios" },
                                        { 0x100000, RAM - 0x100000, MEMMAP_RAM, "ram" },
                                        { PC_ECAM, 0x10000000, MEMMAP_MMIO, "ecam" } },
                                      4 };

static struct loader_file bytes(const char *option, const char *name, const void *p, uint64_t n)
{
    return (struct loader_file){ option, name, n, -1, p };
}

static struct loader *fresh(size_t len)
{
    static struct loader l;
    memset(&l, 0, sizeof(l));
    memset(ram, 0, RAM);
    l.mem = &mem;
    l.map = &memory;
    l.append = "";
    l.error = error;
    l.error_len = sizeof(error);
    l.kernel = bytes("--kernel", "kernel", image, len);
    return &l;
}

static void refused(struct loader *l, const char *part)
{
    CHECK(loader_load_image(l, &boot) < 0);
    CHECK(strstr(error, part) != NULL);
    if (!strstr(error, part))
        printf("  got: %s\n", error);
    CHECK(!strchr(error, '\n'));
}

static void test_raw(void)
{
    struct loader *l = fresh(1000);
    memset(image, 0x90, sizeof(image));
    refused(l, "not a bzImage");
    l = fresh(1000);
    l->raw = true;
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.mode, BOOT_FLAT32);
    CHECK_EQ(boot.rip, 0x100000);
    CHECK_EQ(ram[0x100000], 0x90);
    CHECK(boot.gdt >= 0x500 && boot.gdt < PC_LOW_RAM_END);
    l = fresh(1000);
    l->kernel.name = "x.bin";
    CHECK_EQ(loader_load_image(l, &boot), 0);
    l = fresh(0);
    refused(l, "is empty");
    l = fresh(1000);
    l->raw = true;
    l->append = "x";
    refused(l, "takes no");
    l = fresh(1000);
    l->raw = true;
    l->kernel.size = (uint64_t)RAM;
    refused(l, "no RAM");
}

/* ---- bzImage ---- */

static size_t make_bzimage(unsigned version, bool is64)
{
    memset(image, 0, sizeof(image));
    image[0x1f1] = 4;
    le16_put(image + 0x1fe, 0xaa55);
    le16_put(image + 0x200, 0x66eb);
    memcpy(image + 0x202, "HdrS", 4);
    le16_put(image + 0x206, (uint16_t)version);
    image[0x211] = 1;
    le32_put(image + 0x1f4, 20000 / 16);
    le32_put(image + 0x22c, 0x7fffffff);
    le32_put(image + 0x230, 0x200000);
    image[0x234] = 1;
    le16_put(image + 0x236, is64);
    le32_put(image + 0x238, 100);
    le64_put(image + 0x258, 0x1000000);
    le32_put(image + 0x260, 0x300000);
    memset(image + 5 * 512, 0xcc, 20000);
    return 5 * 512 + 20000;
}

static void test_bzimage(void)
{
    size_t n = make_bzimage(0x20f, true);
    static const char initrd[5000] = "initrd";
    struct loader *l = fresh(n);
    uint8_t *p;
    uint64_t e;

    l->append = "console=ttyS0";
    l->rsdp = 0xe1234;
    l->have_initrd = true;
    l->initrd = bytes("--initrd", "i", initrd, sizeof(initrd));
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.mode, BOOT_LONG64);
    CHECK_EQ(boot.rip, 0x1000200);
    CHECK_EQ(ram[0x1000000], 0xcc);
    p = ram + boot.rsi;
    CHECK(!strcmp((char *)ram + le32(p + 0x228), "console=ttyS0"));
    CHECK_EQ(le64(p + 0x70), 0xe1234);
    CHECK_EQ(p[0x1e8], 3);
    CHECK_EQ(le64(p + 0x2d0 + 40), 0x100000);
    CHECK_EQ(le32(p + 0x2d0 + 36), 2);
    CHECK_EQ(p[0x210], 0xff);
    CHECK_EQ(le32(p + 0x21c), 5000);
    CHECK_EQ(le32(p + 0x218) % 4096, 0);
    CHECK(le32(p + 0x218) + 5000 <= RAM && le32(p + 0x218) + 8192 > RAM - 4096);
    CHECK(!memcmp(ram + le32(p + 0x218), "initrd", 7));
    CHECK_EQ(p[0], 0); /* nothing of the first sector but the header */
    /* Walk the page tables to 3 GiB + 2 MiB. */
    e = le64(ram + boot.cr3) & ~0xfffull;
    e = le64(ram + e + 8 * 3) & ~0xfffull;
    CHECK_EQ(le64(ram + e + 8), (GiB(3) + MiB(2)) | 0x83);

    n = make_bzimage(0x20f, false);
    l = fresh(n);
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.mode, BOOT_FLAT32);
    CHECK_EQ(boot.rip, 0x1000000);
    /* Preferred address beyond RAM: moved, since relocatable; refused otherwise. */
    le64_put(image + 0x258, 0x40000000);
    CHECK_EQ(loader_load_image(fresh(n), &boot), 0);
    CHECK_EQ(boot.rip, 0x200000);
    image[0x234] = 0;
    refused(fresh(n), "no RAM");
    le64_put(image + 0x258, ~0ull);
    refused(fresh(n), "load address");
    image[0x234] = 1;
    le32_put(image + 0x230, 3);
    refused(fresh(n), "alignment");
    le32_put(image + 0x230, 0x200000);
    le32_put(image + 0x260, 0xffffffff);
    refused(fresh(n), "memory");

    n = make_bzimage(0x20f, true);
    refused(fresh(n - 10000), "truncated");
    refused(fresh(5 * 512), "truncated");
    image[0x1f1] = 255;
    refused(fresh(n), "truncated");
    n = make_bzimage(0x201, true);
    refused(fresh(n), "too old");
    n = make_bzimage(0x20f, true);
    image[0x201] = 4;
    refused(fresh(n), "too short");
    n = make_bzimage(0x20f, true);
    l = fresh(n);
    l->append = "123456789 123456789 123456789 123456789 123456789 123456789 123456789 123456789 "
                "123456789 123456789 1";
    refused(l, "--append: 101 characters");
    l = fresh(n);
    l->have_initrd = true;
    l->initrd = bytes("--initrd", "big", initrd, RAM);
    refused(l, "--initrd big: 24 MiB do not fit");
    n = make_bzimage(0x202, false); /* oldest: no alignment, no initrd_addr_max, no size */
    CHECK_EQ(loader_load_image(fresh(n), &boot), 0);
    CHECK_EQ(boot.rip, 0x100000);
}

/* ---- ELF, PVH ---- */

enum { NOTE = 0x200, TEXT = 0x1000 };

static Elf64_Phdr *ph64(unsigned i) { return (Elf64_Phdr *)(void *)(image + 64) + i; }

static size_t make_elf64(void)
{
    Elf64_Ehdr *h = (Elf64_Ehdr *)(void *)image;
    memset(image, 0, sizeof(image));
    memcpy(h->e_ident, ELFMAG, SELFMAG);
    h->e_ident[EI_CLASS] = ELFCLASS64;
    h->e_ident[EI_DATA] = ELFDATA2LSB;
    h->e_type = ET_EXEC;
    h->e_machine = EM_X86_64;
    h->e_entry = 0xffffffff81000010;
    h->e_phoff = 64;
    h->e_phnum = 2;
    h->e_phentsize = sizeof(Elf64_Phdr);
    *ph64(0) = (Elf64_Phdr){ .p_type = PT_LOAD,
                             .p_offset = TEXT,
                             .p_vaddr = 0xffffffff81000000,
                             .p_paddr = 0x200000,
                             .p_filesz = 0x2000,
                             .p_memsz = 0x5000 };
    *ph64(1) = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = NOTE, .p_filesz = 20 + 20 };
    le32_put(image + NOTE, 4); /* a note of somebody else first */
    le32_put(image + NOTE + 4, 4);
    le32_put(image + NOTE + 8, 1);
    memcpy(image + NOTE + 12, "GNU", 4);
    le32_put(image + NOTE + 20, 4);
    le32_put(image + NOTE + 24, 4);
    le32_put(image + NOTE + 28, 18);
    memcpy(image + NOTE + 32, "Xen", 4);
    le32_put(image + NOTE + 36, 0x200040);
    memset(image + TEXT, 0xaa, 0x2000);
    return TEXT + 0x2000;
}

static void test_pvh(void)
{
    size_t n = make_elf64();
    struct loader *l = fresh(n);
    uint8_t *si;
    l->append = "hello";
    l->have_initrd = true;
    l->initrd = bytes("--initrd", "i", "INIT", 4);
    l->rsdp = 0xe0000;
    memset(ram + 0x200000, 0x55, 0x6000);
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.mode, BOOT_FLAT32);
    CHECK_EQ(boot.rip, 0x200040);
    si = ram + boot.rbx;
    CHECK_EQ(le32(si), 0x336ec578);
    CHECK_EQ(le32(si + 12), 1);
    CHECK(!memcmp(ram + le64(ram + le64(si + 16)), "INIT", 4));
    CHECK(!strcmp((char *)ram + le64(si + 24), "hello"));
    CHECK_EQ(le64(si + 32), 0xe0000);
    CHECK_EQ(le32(si + 48), 3);
    CHECK_EQ(le64(ram + le64(si + 40) + 48), 0x100000);
    CHECK_EQ(ram[0x201fff], 0xaa);
    CHECK_EQ(ram[0x202000], 0);
}

static void test_elf_hostile(void)
{
    size_t n = make_elf64();
    Elf64_Ehdr *h = (Elf64_Ehdr *)(void *)image;
    ph64(1)->p_type = PT_NULL;
    refused(fresh(n), "without PVH note");
    for (size_t cut = 1; cut < n; cut += 61) {
        make_elf64();
        CHECK(loader_load_image(fresh(cut), &boot) < 0);
    }
#define HOSTILE(change, part)                                                                      \
    do {                                                                                           \
        make_elf64();                                                                              \
        change;                                                                                    \
        refused(fresh(n), part);                                                                   \
    } while (0)
    HOSTILE(h->e_machine = EM_AARCH64, "not for x86");
    HOSTILE(h->e_type = ET_REL, "not an executable");
    HOSTILE(h->e_ident[EI_CLASS] = 7, "neither 32 nor 64");
    HOSTILE(h->e_phentsize = 1, "strange size");
    HOSTILE(h->e_phnum = 0, "no program headers");
    HOSTILE(h->e_phnum = 65000, "too many");
    HOSTILE(h->e_phoff = ~0ull - 10, "truncated");
    HOSTILE(ph64(0)->p_offset = ~0ull, "truncated");
    HOSTILE(ph64(0)->p_filesz = ~0ull, "truncated");
    HOSTILE(ph64(0)->p_memsz = 1, "larger in the file");
    HOSTILE(ph64(0)->p_memsz = ~0ull, "beyond the address");
    HOSTILE(ph64(0)->p_paddr = ~0ull - 0x1000, "beyond the address");
    HOSTILE(ph64(0)->p_memsz = 1ull << 40, "no RAM");
    HOSTILE(ph64(0)->p_paddr = 0x9f000, "no RAM");
    HOSTILE(ph64(0)->p_paddr = RAM - 0x1000, "no RAM");
    HOSTILE(ph64(0)->p_type = PT_NULL, "nothing to load");
    HOSTILE(*ph64(1) = *ph64(0), "without PVH");
    HOSTILE(ph64(1)->p_filesz = ~0ull, "truncated");
    HOSTILE(le32_put(image + NOTE, ~0u), "without PVH");
    HOSTILE(le32_put(image + NOTE + 4, ~0u), "without PVH");
    HOSTILE(le32_put(image + NOTE + 36, 0x10), "PVH entry outside");
    HOSTILE(h->e_phnum = 3; *ph64(2) = *ph64(0), "overlaps");
}

/* ---- multiboot 1 ---- */

static void mb1_header(unsigned at, uint32_t flags)
{
    le32_put(image + at, 0x1badb002);
    le32_put(image + at + 4, flags);
    le32_put(image + at + 8, -(0x1badb002 + flags));
}

static void test_multiboot1(void)
{
    struct loader *l;
    uint8_t *info, *mods;
    memset(image, 0, sizeof(image));
    mb1_header(0x40, 0x10007);
    le32_put(image + 0x40 + 12, 0x300040 - 0x20); /* the first 32 bytes of the file stay out */
    le32_put(image + 0x40 + 16, 0x300000);
    le32_put(image + 0x40 + 20, 0x301000);
    le32_put(image + 0x40 + 24, 0x302000);
    le32_put(image + 0x40 + 28, 0x300060);
    l = fresh(0x2000);
    memset(image + 0x1000, 0x77, 0x1000);
    l->append = "a b";
    l->have_initrd = true;
    l->initrd = bytes("--initrd", "rd", "MOD0", 4);
    l->modules = 1;
    l->module[0] = bytes("--module", "m", "MOD1x", 5);
    l->module_args[0] = "m 1 2";
    memset(ram + 0x300000, 0x55, 0x4000);
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.mode, BOOT_FLAT32);
    CHECK_EQ(boot.rip, 0x300060);
    CHECK_EQ(boot.rax, 0x2badb002);
    CHECK_EQ(le32(ram + 0x300020), 0x1badb002);
    CHECK_EQ(ram[0x300fe0], 0x77);
    CHECK_EQ(ram[0x301000], 0);
    CHECK_EQ(ram[0x301fff], 0);
    CHECK_EQ(ram[0x302000], 'M'); /* the module comes next */
    info = ram + boot.rbx;
    CHECK_EQ(le32(info), 1 | 4 | 8 | 64 | 512 | 4096);
    CHECK_EQ(le32(info + 4), 639);
    CHECK_EQ(le32(info + 8), (RAM >> 10) - 1024);
    CHECK(!strcmp((char *)ram + le32(info + 16), "kernel a b"));
    CHECK_EQ(le32(info + 20), 2);
    mods = ram + le32(info + 24);
    CHECK(!memcmp(ram + le32(mods), "MOD0", 4));
    CHECK_EQ(le32(mods + 4), le32(mods) + 4);
    CHECK(!strcmp((char *)ram + le32(mods + 16 + 8), "m 1 2"));
    CHECK_EQ(le32(mods + 16) % 4096, 0);
    CHECK_EQ(le32(info + 44), 3 * 24);
    CHECK_EQ(le64(ram + le32(info + 48) + 48 + 4), 0x100000);
    CHECK(!strcmp((char *)ram + le32(info + 64), "Trapeze"));

    mb1_header(0x40, 0x10008);
    refused(fresh(0x2000), "unknown features");
    mb1_header(0x40, 3);
    refused(fresh(0x2000), "not ELF");
    l = fresh(0x2000);
    l->kernel.name = "flat.bin";
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.rip, 0x100000);
    mb1_header(0x40, 0x10003);
    le32_put(image + 0x40 + 12, 0x2fffff);
    refused(fresh(0x2000), "does not fit its place");
    le32_put(image + 0x40 + 12, 0x300080);
    refused(fresh(0x2000), "does not fit its place");
    le32_put(image + 0x40 + 12, 0x300040);
    le32_put(image + 0x40 + 20, 0x2fffff);
    refused(fresh(0x2000), "load end before");
    le32_put(image + 0x40 + 20, 0x3fffff);
    refused(fresh(0x2000), "truncated");
    le32_put(image + 0x40 + 20, 0);
    le32_put(image + 0x40 + 24, 0x300100);
    refused(fresh(0x2000), "bss end");
    le32_put(image + 0x40 + 24, 0xffffffff);
    refused(fresh(0x2000), "no RAM");
    le32_put(image + 0x40 + 24, 0);
    CHECK_EQ(loader_load_image(fresh(0x2000), &boot), 0); /* whole file, no bss */
    l = fresh(0x2000);
    l->modules = 1;
    l->module[0] = bytes("--module", "m", "", RAM);
    l->module_args[0] = "m";
    refused(l, "--module m: ");
    /* A header that ends with the file is none; bad checksum, misplaced. */
    memset(image, 0, sizeof(image));
    mb1_header(0x40, 0x10003);
    refused(fresh(0x40 + 12), "not a bzImage");
    le32_put(image + 0x48, 0);
    refused(fresh(0x2000), "not a bzImage");
    memset(image, 0, sizeof(image));
    mb1_header(8192, 3);
    refused(fresh(0x4000), "not a bzImage");
    /* ELF, entry as virtual address. */
    size_t n = make_elf64();
    mb1_header(TEXT, 3);
    CHECK_EQ(loader_load_image(fresh(n), &boot), 0);
    CHECK_EQ(boot.rip, 0x200010);
    ((Elf64_Ehdr *)(void *)image)->e_entry = 0;
    refused(fresh(n), "entry outside");
}

/* ---- multiboot 2 ---- */

static unsigned mb2_len;
static void mb2_begin(void)
{
    memset(image, 0, sizeof(image));
    mb2_len = 16;
}
static uint8_t *mb2_tag(uint16_t type, uint16_t flags, uint32_t size)
{
    uint8_t *t = image + 0x100 + mb2_len;
    le16_put(t, type);
    le16_put(t + 2, flags);
    le32_put(t + 4, size);
    mb2_len += ALIGN_UP(size, 8u);
    return t;
}
static void mb2_end(uint32_t len)
{
    le32_put(image + 0x100, 0xe85250d6);
    le32_put(image + 0x104, 0);
    le32_put(image + 0x108, len);
    le32_put(image + 0x10c, -(0xe85250d6 + len));
}

static void mb2_flat(void)
{
    uint8_t *t;
    mb2_begin();
    t = mb2_tag(1, 0, 16);
    le32_put(t + 8, 6);
    le32_put(t + 12, 15);
    t = mb2_tag(2, 0, 24);
    le32_put(t + 8, 0x200100);
    le32_put(t + 12, 0x200000);
    t = mb2_tag(3, 0, 12);
    le32_put(t + 8, 0x200020);
}

static const uint8_t *mb2_info(uint32_t type)
{
    const uint8_t *p = ram + boot.rbx, *end = p + le32(p);
    for (p += 8; p < end && le32(p); p += ALIGN_UP(le32(p + 4), 8u))
        if (le32(p) == type)
            return p + 8;
    return NULL;
}

static void test_multiboot2(void)
{
    struct loader *l = fresh(0x3000);
    mb2_flat();
    mb2_tag(5, 1, 20);
    mb2_tag(7, 1, 8);
    mb2_tag(0, 0, 8);
    mb2_end(mb2_len);
    l->append = "x=1";
    l->rsdp = 0x500000;
    l->modules = 1;
    l->module[0] = bytes("--module", "m", "MODULE", 6);
    l->module_args[0] = "m arg";
    ram[0x500000 + 15] = 2;
    CHECK_EQ(loader_load_image(l, &boot), 0);
    CHECK_EQ(boot.rip, 0x200020);
    CHECK_EQ(boot.rax, 0x36d76289);
    CHECK_EQ(boot.rbx % 8, 0);
    CHECK(!strcmp((const char *)mb2_info(1), "x=1"));
    CHECK(!strcmp((const char *)mb2_info(2), "Trapeze"));
    CHECK(!memcmp(ram + le32(mb2_info(3)), "MODULE", 6));
    CHECK(!strcmp((const char *)mb2_info(3) + 8, "m arg"));
    CHECK_EQ(le32(mb2_info(4)), 639);
    CHECK_EQ(le32(mb2_info(6)), 24);
    CHECK_EQ(le64(mb2_info(6) + 8 + 48), 0x100000);
    CHECK_EQ(le64(mb2_info(8)), 0xb8000);
    CHECK_EQ(mb2_info(15)[15], 2);

    mb2_flat();
    mb2_tag(7, 0, 8);
    mb2_tag(0, 0, 8);
    mb2_end(mb2_len);
    refused(fresh(0x3000), "requires header tag 7");
    mb2_flat();
    le32_put(mb2_tag(1, 0, 12) + 8, 77);
    mb2_tag(0, 0, 8);
    mb2_end(mb2_len);
    refused(fresh(0x3000), "requires information tag 77");
    mb2_flat();
    mb2_end(mb2_len);
    refused(fresh(0x3000), "no end tag");
    mb2_end(0x7fffff00);
    refused(fresh(0x3000), "longer than");
    mb2_end(8);
    refused(fresh(0x3000), "longer than");
    mb2_flat();
    mb2_tag(6, 0, 0);
    mb2_end(mb2_len + 64);
    refused(fresh(0x3000), "impossible size");
    mb2_flat();
    mb2_tag(6, 0, 0xfffffff9);
    mb2_end(0x2f00);
    refused(fresh(0x3000), "impossible size");
    mb2_begin();
    mb2_tag(2, 0, 16);
    mb2_tag(0, 0, 8);
    mb2_end(mb2_len);
    refused(fresh(0x3000), "address tag too short");
    mb2_begin();
    mb2_tag(0, 0, 8);
    mb2_end(mb2_len);
    refused(fresh(0x3000), "no address tag");
}

int main(void)
{
    ram = malloc(RAM);
    if (!ram)
        return 1;
    test_raw();
    test_bzimage();
    test_pvh();
    test_elf_hostile();
    test_multiboot1();
    test_multiboot2();
    free(ram);
    return unit_done("loader");
}
