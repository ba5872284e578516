/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recognises a kernel and loads it. Order, first match wins:
 *   raw:FILE            a flat 32-bit image (raw.c)
 *   HdrS at 0x202       Linux bzImage (bzimage.c)
 *   multiboot 2 header  in the first 32 KiB (multiboot2.c)
 *   multiboot 1 header  in the first 8 KiB (multiboot1.c)
 *   ELF with PVH note   (pvh.c); any other ELF is refused
 *   *.bin *.raw *.img   a flat 32-bit image (raw.c)
 */
#include "monitor/loader/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"

int loader_load_image(struct loader *l, struct boot_state *boot)
{
    struct elf_image elf;
    int e, at;

    memset(boot, 0, sizeof(*boot));
    l->used_count = 0;
    l->error[0] = 0;
    if (!l->kernel.size)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "is empty");
    l->head_len = MIN(l->kernel.size, (uint64_t)sizeof(l->head));
    e = loader_read(l, &l->kernel, 0, l->head, l->head_len);
    if (e)
        return e;
    if (l->raw)
        e = raw_load(l, boot);
    else if (bzimage_is(l))
        e = bzimage_load(l, boot);
    else if ((at = multiboot2_find(l)) >= 0)
        e = multiboot2_load(l, (unsigned)at, boot);
    else if ((at = multiboot1_find(l)) >= 0)
        e = multiboot1_load(l, (unsigned)at, boot);
    else if (elf_is(l) && !(e = elf_scan(l, &elf)))
        e = elf.has_pvh ? pvh_load(l, boot)
                        : loader_file_fail(l, &l->kernel, -ENOEXEC,
                                           "ELF without PVH note or multiboot header");
    else if (elf_is(l))
        return e;
    else if (raw_is(l))
        e = raw_load(l, boot);
    else
        e = loader_file_fail(l, &l->kernel, -ENOEXEC,
                             "not a bzImage, ELF or multiboot kernel (raw:FILE loads a flat 32-bit "
                             "image)");
    if (e)
        return e;
    /* Where boot_setup puts its descriptors: the formats promise the kernel no valid GDT later. */
    return loader_alloc(l, BOOT_GDT_SIZE, 16, 0x500, PC_LOW_RAM_END, false, "GDT", &boot->gdt);
}

/* Opens a regular file; an empty one is legal for modules. */
static int open_file(struct loader *l, struct loader_file *f, const char *option, const char *name)
{
    struct stat st;
    *f = (struct loader_file){ .option = option, .name = name, .fd = -1 };
    f->fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (f->fd < 0 || fstat(f->fd, &st) < 0) {
        int e = -errno;
        return loader_file_fail(l, f, e, "%s",
                                e == -ENOENT   ? "no such file"
                                : e == -EACCES ? "no permission to read"
                                               : strerror(-e));
    }
    if (S_ISDIR(st.st_mode))
        return loader_file_fail(l, f, -EISDIR, "is a directory");
    if (!S_ISREG(st.st_mode))
        return loader_file_fail(l, f, -EINVAL, "is not a regular file");
    f->size = (uint64_t)st.st_size;
    return 0;
}

static int open_modules(struct loader *l, const struct config *c, char **names)
{
    for (unsigned i = 0; i < c->modules && i < CONFIG_MAX_MODULES; i++) {
        int e;
        names[i] = strndup(c->module[i], strcspn(c->module[i], " "));
        if (!names[i])
            return loader_fail(l, -ENOMEM, "--module: out of memory");
        l->module_args[i] = c->module[i];
        e = open_file(l, &l->module[i], "--module", names[i]);
        l->modules = i + 1; /* also on failure: the descriptor is closed by the caller */
        if (e)
            return e;
    }
    return 0;
}

int loader_load(struct vm *vm, struct boot_state *boot)
{
    const struct config *c = vm->config;
    const char *path = c->kernel;
    char *names[CONFIG_MAX_MODULES] = { 0 };
    struct loader *l;
    int e;

    if (!path) {
        snprintf(vm->error, sizeof(vm->error), "--kernel: no kernel given");
        return -EINVAL;
    }
    l = calloc(1, sizeof(*l));
    if (!l) {
        snprintf(vm->error, sizeof(vm->error), "--kernel %s: out of memory", path);
        return -ENOMEM;
    }
    l->mem = &vm->mem;
    l->map = &vm->map;
    l->rsdp = vm->rsdp;
    l->append = c->append ? c->append : "";
    l->error = vm->error;
    l->error_len = sizeof(vm->error);
    l->kernel.fd = l->initrd.fd = -1;
    if (!strncmp(path, "raw:", 4)) {
        l->raw = true;
        path += 4;
    }
    e = open_file(l, &l->kernel, "--kernel", path);
    if (!e && c->initrd) {
        l->have_initrd = true;
        e = open_file(l, &l->initrd, "--initrd", c->initrd);
        if (!e && !l->initrd.size)
            e = loader_file_fail(l, &l->initrd, -EINVAL, "is empty");
    }
    if (!e)
        e = open_modules(l, c, names);
    if (!e)
        e = loader_load_image(l, boot);
    if (l->kernel.fd >= 0)
        close(l->kernel.fd);
    if (l->initrd.fd >= 0)
        close(l->initrd.fd);
    for (unsigned i = 0; i < l->modules; i++)
        if (l->module[i].fd >= 0)
            close(l->module[i].fd);
    for (unsigned i = 0; i < CONFIG_MAX_MODULES; i++)
        free(names[i]);
    free(l);
    return e;
}
