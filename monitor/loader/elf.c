/* SPDX-License-Identifier: BSD-2-Clause */
/* ELF images, 32 and 64 bit, little endian, x86: program headers and the PVH note. [ELF] gABI. */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "monitor/loader/loader.h"

enum {
    MAX_SEGMENTS = 64,
    MAX_NOTES = 65536, /* bytes of one PT_NOTE segment */
    XEN_ELFNOTE_PHYS32_ENTRY = 18
};

/* A program header of either class. */
struct segment {
    uint32_t type;
    uint64_t offset, vaddr, paddr, filesz, memsz;
};

bool elf_is(const struct loader *l)
{
    return l->head_len >= EI_NIDENT && !memcmp(l->head, ELFMAG, SELFMAG);
}

static int bad(struct loader *l, const char *what)
{
    return loader_file_fail(l, &l->kernel, -ENOEXEC, "bad ELF: %s", what);
}

/* Reads the file header; out: class, entry, place and number of program headers. */
static int read_header(struct loader *l, struct elf_image *out, uint64_t *phoff, unsigned *phnum)
{
    uint8_t class = l->head[EI_CLASS];
    unsigned type, machine, phentsize;

    if (l->head[EI_DATA] != ELFDATA2LSB || (class != ELFCLASS32 && class != ELFCLASS64))
        return bad(l, "neither 32 nor 64 bit little endian");
    out->is64 = class == ELFCLASS64;
    if (out->is64) {
        Elf64_Ehdr h;
        int e = loader_read(l, &l->kernel, 0, &h, sizeof(h));
        if (e)
            return e;
        type = h.e_type;
        machine = h.e_machine;
        phentsize = h.e_phentsize;
        out->entry = h.e_entry;
        *phoff = h.e_phoff;
        *phnum = h.e_phnum;
    } else {
        Elf32_Ehdr h;
        int e = loader_read(l, &l->kernel, 0, &h, sizeof(h));
        if (e)
            return e;
        type = h.e_type;
        machine = h.e_machine;
        phentsize = h.e_phentsize;
        out->entry = h.e_entry;
        *phoff = h.e_phoff;
        *phnum = h.e_phnum;
    }
    if (machine != EM_386 && machine != EM_X86_64)
        return bad(l, "not for x86");
    if (type != ET_EXEC && type != ET_DYN)
        return bad(l, "not an executable");
    if (phentsize != (out->is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr)))
        return bad(l, "program headers of a strange size");
    if (!*phnum || *phnum > MAX_SEGMENTS)
        return bad(l, *phnum ? "too many program headers" : "no program headers");
    return 0;
}

static int read_segment(struct loader *l, bool is64, uint64_t phoff, unsigned i, struct segment *s)
{
    uint64_t size = is64 ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr), at;
    uint64_t end;
    int e;

    if (__builtin_add_overflow(phoff, i * size, &at))
        return bad(l, "program headers outside the file");
    if (is64) {
        Elf64_Phdr p;
        e = loader_read(l, &l->kernel, at, &p, sizeof(p));
        if (e)
            return e;
        *s = (struct segment){ p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz };
    } else {
        Elf32_Phdr p;
        e = loader_read(l, &l->kernel, at, &p, sizeof(p));
        if (e)
            return e;
        *s = (struct segment){ p.p_type, p.p_offset, p.p_vaddr, p.p_paddr, p.p_filesz, p.p_memsz };
    }
    if (s->type != PT_LOAD && s->type != PT_NOTE)
        return 0;
    if (!range_ok(s->offset, s->filesz, l->kernel.size))
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "is truncated");
    if (s->type == PT_LOAD && s->filesz > s->memsz)
        return bad(l, "segment larger in the file than in memory");
    if (__builtin_add_overflow(s->paddr, s->memsz, &end))
        return bad(l, "segment beyond the address space");
    return 0;
}

/* Looks for the PVH entry in one PT_NOTE segment. */
static int scan_notes(struct loader *l, const struct segment *s, struct elf_image *out)
{
    static const char xen[4] = "Xen";
    uint64_t pos = 0, len = MIN(s->filesz, (uint64_t)MAX_NOTES);
    while (range_ok(pos, sizeof(Elf32_Nhdr), len)) {
        Elf32_Nhdr n;
        uint64_t name = pos + sizeof(n), desc;
        uint8_t text[4], value[8] = { 0 };
        int e = loader_read(l, &l->kernel, s->offset + pos, &n, sizeof(n));
        if (e)
            return e;
        desc = name + ALIGN_UP((uint64_t)n.n_namesz, 4u);
        if (!range_ok(desc, n.n_descsz, len))
            return 0; /* notes of others may be padded in ways unknown to us */
        if (n.n_type == XEN_ELFNOTE_PHYS32_ENTRY && n.n_namesz == sizeof(xen) &&
            (n.n_descsz == 4 || n.n_descsz == 8)) {
            e = loader_read(l, &l->kernel, s->offset + name, text, sizeof(text));
            if (!e)
                e = loader_read(l, &l->kernel, s->offset + desc, value, n.n_descsz);
            if (e)
                return e;
            if (!memcmp(text, xen, sizeof(xen))) {
                if (le64(value) > UINT32_MAX)
                    return bad(l, "PVH entry above 4 GiB");
                out->has_pvh = true;
                out->pvh_entry = le32(value);
                return 0;
            }
        }
        pos = desc + ALIGN_UP((uint64_t)n.n_descsz, 4u);
    }
    return 0;
}

int elf_scan(struct loader *l, struct elf_image *out)
{
    uint64_t phoff;
    unsigned phnum;
    int e;

    memset(out, 0, sizeof(*out));
    e = read_header(l, out, &phoff, &phnum);
    for (unsigned i = 0; !e && i < phnum; i++) {
        struct segment s;
        e = read_segment(l, out->is64, phoff, i, &s);
        if (!e && s.type == PT_NOTE && !out->has_pvh)
            e = scan_notes(l, &s, out);
    }
    return e;
}

int elf_load(struct loader *l, struct elf_image *out)
{
    uint64_t phoff, entry;
    unsigned phnum;
    bool translated = false;
    int e = elf_scan(l, out);
    if (e)
        return e;
    e = read_header(l, out, &phoff, &phnum);
    entry = out->entry;
    out->low = UINT64_MAX;
    for (unsigned i = 0; !e && i < phnum; i++) {
        struct segment s;
        e = read_segment(l, out->is64, phoff, i, &s);
        if (e || s.type != PT_LOAD || !s.memsz)
            continue;
        e = loader_claim(l, s.paddr, s.memsz, "ELF segment");
        if (!e)
            e = loader_copy(l, &l->kernel, s.offset, s.filesz, s.paddr, s.memsz);
        out->low = MIN(out->low, s.paddr);
        out->high = MAX(out->high, s.paddr + s.memsz);
        /* Entries are virtual addresses; kernels are entered with physical ones. */
        if (!translated && entry >= s.vaddr && entry - s.vaddr < s.memsz) {
            out->entry = s.paddr + (entry - s.vaddr);
            translated = true;
        }
    }
    if (!e && out->low == UINT64_MAX)
        return bad(l, "nothing to load");
    return e;
}
