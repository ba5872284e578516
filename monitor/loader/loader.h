/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel formats share: a view of the image, memory already taken, one-line errors.
 * A loader needs no VM: images may be buffers and guest memory any accessor, so that tests and the
 * fuzzer run the same code. Everything an image says is checked before it is used.
 */
#ifndef MONITOR_LOADER_LOADER_H
#define MONITOR_LOADER_LOADER_H

#include "device/device.h"
#include "monitor/config.h"
#include "monitor/memmap.h"
#include "monitor/vm.h"

enum {
    LOADER_HEAD = 32768, /* [Multiboot2] "OS image format": the header lies in the first 32 KiB */
    LOADER_MAX_USED = 96,
    LOADER_MAX_E820 = 128
};

/* Bytes of a file, by descriptor or in a buffer. */
struct loader_file {
    const char *option; /* "--kernel": what a message names */
    const char *name;
    uint64_t size;
    int fd;              /* if data is NULL */
    const uint8_t *data; /* or NULL */
};

struct loader_range {
    uint64_t base, len;
    const char *what;
};

struct loader {
    const struct guest_memory *mem;
    const struct memmap *map;
    uint64_t rsdp; /* 0: none */
    struct loader_file kernel, initrd;
    bool have_initrd;
    struct loader_file module[CONFIG_MAX_MODULES];
    const char *module_args[CONFIG_MAX_MODULES]; /* the whole string given, name first */
    unsigned modules;
    const char *append; /* never NULL */
    bool raw;           /* asked for by raw:FILE */
    char *error;
    size_t error_len;

    uint8_t head[LOADER_HEAD]; /* start of the kernel */
    size_t head_len;
    struct loader_range used[LOADER_MAX_USED];
    unsigned used_count;
};

struct loader_e820 {
    uint64_t base, len;
    uint32_t type;
};

/* Puts the line into l->error, returns e. */
int loader_fail(struct loader *l, int e, const char *fmt, ...) PRINTF(3, 4);
/* The same with "OPTION NAME: " in front. */
int loader_file_fail(struct loader *l, const struct loader_file *f, int e, const char *fmt, ...)
    PRINTF(4, 5);

/* All len bytes at off, or an error saying the file is truncated. */
WARN_UNUSED int loader_read(struct loader *l, const struct loader_file *f, uint64_t off, void *buf,
                            uint64_t len);
/* Takes [gpa, gpa+len) for `what`; an error unless it is RAM and free. */
WARN_UNUSED int loader_claim(struct loader *l, uint64_t gpa, uint64_t len, const char *what);
/* Finds and takes free RAM in [min, limit), as low or as high as possible; align a power of 2. */
WARN_UNUSED int loader_alloc(struct loader *l, uint64_t len, uint64_t align, uint64_t min,
                             uint64_t limit, bool high, const char *what, uint64_t *gpa);
/* File bytes into memory claimed before, and zeroes behind them up to mem_len. */
WARN_UNUSED int loader_copy(struct loader *l, const struct loader_file *f, uint64_t off,
                            uint64_t len, uint64_t gpa, uint64_t mem_len);
WARN_UNUSED int loader_put(struct loader *l, uint64_t gpa, const void *buf, uint64_t len);
/* Allocates low memory for a small table and puts it there. */
WARN_UNUSED int loader_put_low(struct loader *l, const void *buf, uint64_t len, uint64_t align,
                               const char *what, uint64_t *gpa);
/* "NAME APPEND", the command line of multiboot kernels; *out is malloc'd. */
WARN_UNUSED int loader_cmdline(struct loader *l, char **out);
/* Loads initrd (first) and modules page-aligned from min up; calls add for each. */
WARN_UNUSED int loader_modules(struct loader *l, uint64_t min,
                               int (*add)(void *arg, uint64_t gpa, uint64_t len, const char *args),
                               void *arg);
/* The memory map as E820 entries; returns their number. */
unsigned loader_e820(const struct loader *l, struct loader_e820 out[LOADER_MAX_E820]);
/* End of what has been taken at or above 1 MiB. */
uint64_t loader_used_end(const struct loader *l);

/* Recognises the image and loads it. Everything above the line in struct loader is set. */
WARN_UNUSED int loader_load_image(struct loader *l, struct boot_state *boot);

/* ---- one file each; is_* look at l->head only ---- */
bool bzimage_is(const struct loader *l);
WARN_UNUSED int bzimage_load(struct loader *l, struct boot_state *boot);

bool elf_is(const struct loader *l);
struct elf_image {
    bool is64;
    uint64_t entry;     /* physical if that can be told: see elf_load */
    uint64_t low, high; /* physical range loaded */
    bool has_pvh;
    uint32_t pvh_entry;
};
/* Checks the headers and finds the PVH note; loads nothing. */
WARN_UNUSED int elf_scan(struct loader *l, struct elf_image *out);
/* Loads the PT_LOAD segments at their physical addresses; entry becomes a physical address. */
WARN_UNUSED int elf_load(struct loader *l, struct elf_image *out);

WARN_UNUSED int pvh_load(struct loader *l, struct boot_state *boot);

/* Offset of a valid header in l->head, -1 if there is none. */
int multiboot1_find(const struct loader *l);
WARN_UNUSED int multiboot1_load(struct loader *l, unsigned header, struct boot_state *boot);
int multiboot2_find(const struct loader *l);
WARN_UNUSED int multiboot2_load(struct loader *l, unsigned header, struct boot_state *boot);
/* The address fields of both: a flat image whose header says where it goes. */
struct multiboot_address {
    uint32_t header_addr, load_addr, load_end_addr, bss_end_addr;
};
WARN_UNUSED int multiboot_load_flat(struct loader *l, unsigned header,
                                    const struct multiboot_address *a);

bool raw_is(const struct loader *l);
WARN_UNUSED int raw_load(struct loader *l, struct boot_state *boot);

#endif
