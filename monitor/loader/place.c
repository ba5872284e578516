/* SPDX-License-Identifier: BSD-2-Clause */
/* What all kernel formats need: errors, file bytes, and free guest memory. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monitor/loader/loader.h"

int loader_fail(struct loader *l, int e, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(l->error, l->error_len, fmt, args);
    va_end(args);
    return e;
}

int loader_file_fail(struct loader *l, const struct loader_file *f, int e, const char *fmt, ...)
{
    va_list args;
    int n = snprintf(l->error, l->error_len, "%s %s: ", f->option, f->name);
    if (n >= 0 && (size_t)n < l->error_len) {
        va_start(args, fmt);
        vsnprintf(l->error + n, l->error_len - (size_t)n, fmt, args);
        va_end(args);
    }
    return e;
}

int loader_read(struct loader *l, const struct loader_file *f, uint64_t off, void *buf,
                uint64_t len)
{
    uint8_t *p = buf;
    if (!range_ok(off, len, f->size))
        return loader_file_fail(l, f, -ENOEXEC, "is truncated");
    if (f->data) {
        memcpy(buf, f->data + off, len);
        return 0;
    }
    while (len) {
        ssize_t n = pread(f->fd, p, len, (off_t)off);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return loader_file_fail(l, f, -errno, "cannot be read: %s", strerror(errno));
        if (!n)
            return loader_file_fail(l, f, -ENOEXEC, "became shorter while it was read");
        p += n;
        off += (uint64_t)n;
        len -= (uint64_t)n;
    }
    return 0;
}

/* The RAM range that holds all of [gpa, gpa+len), or NULL. */
static const struct memmap_range *ram_at(const struct loader *l, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < l->map->count; i++) {
        const struct memmap_range *r = &l->map->range[i];
        if (r->type == MEMMAP_RAM && gpa >= r->base && range_ok(gpa - r->base, len, r->len))
            return r;
    }
    return NULL;
}

static const struct loader_range *used_at(const struct loader *l, uint64_t gpa, uint64_t len)
{
    for (unsigned i = 0; i < l->used_count; i++)
        if (range_overlaps(gpa, len, l->used[i].base, l->used[i].len))
            return &l->used[i];
    return NULL;
}

static int take(struct loader *l, uint64_t gpa, uint64_t len, const char *what)
{
    if (l->used_count == LOADER_MAX_USED)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "too many pieces");
    l->used[l->used_count++] = (struct loader_range){ gpa, len, what };
    return 0;
}

int loader_claim(struct loader *l, uint64_t gpa, uint64_t len, const char *what)
{
    const struct loader_range *u;
    if (!len)
        return 0;
    if (!ram_at(l, gpa, len) || !l->mem->map(l->mem->ctx, gpa, len, true))
        return loader_file_fail(l, &l->kernel, -ENOMEM,
                                "%s wants %llu KiB at %#llx, where the VM has no RAM (more "
                                "--memory?)",
                                what, (unsigned long long)(len + 1023) / 1024,
                                (unsigned long long)gpa);
    u = used_at(l, gpa, len);
    if (u)
        return loader_file_fail(l, &l->kernel, -ENOEXEC, "%s at %#llx overlaps %s", what,
                                (unsigned long long)gpa, u->what);
    return take(l, gpa, len, what);
}

/* Lowest (or highest) free place in one RAM range. */
static bool fit(const struct loader *l, uint64_t lo, uint64_t hi, uint64_t len, uint64_t align,
                bool high, uint64_t *out)
{
    uint64_t at;
    const struct loader_range *u;
    if (lo >= hi || len > hi - lo)
        return false;
    if (high) {
        for (at = ALIGN_DOWN(hi - len, align); at >= lo; at = ALIGN_DOWN(u->base - len, align)) {
            u = used_at(l, at, len);
            if (!u) {
                *out = at;
                return true;
            }
            if (u->base < len || u->base - len < lo)
                return false;
        }
        return false;
    }
    at = ALIGN_UP(lo, align);
    while (at >= lo && at < hi && len <= hi - at) {
        u = used_at(l, at, len);
        if (!u) {
            *out = at;
            return true;
        }
        at = ALIGN_UP(u->base + u->len, align);
    }
    return false;
}

int loader_alloc(struct loader *l, uint64_t len, uint64_t align, uint64_t min, uint64_t limit,
                 bool high, const char *what, uint64_t *gpa)
{
    bool found = false;
    uint64_t at, best = 0;
    len = MAX(len, 1u);
    for (unsigned i = 0; i < l->map->count; i++) {
        const struct memmap_range *r = &l->map->range[i];
        uint64_t end = r->base + r->len;
        if (r->type != MEMMAP_RAM || end < r->base)
            continue;
        if (fit(l, MAX(r->base, min), MIN(end, limit), len, align, high, &at) &&
            l->mem->map(l->mem->ctx, at, len, true) && (!found || (high ? at > best : at < best))) {
            found = true;
            best = at;
        }
    }
    if (!found)
        return loader_file_fail(l, &l->kernel, -ENOMEM,
                                "no %llu KiB of memory free for %s (more --memory?)",
                                (unsigned long long)(len + 1023) / 1024, what);
    *gpa = best;
    return take(l, best, len, what);
}

int loader_copy(struct loader *l, const struct loader_file *f, uint64_t off, uint64_t len,
                uint64_t gpa, uint64_t mem_len)
{
    uint8_t *p;
    int e;
    if (!mem_len)
        return 0;
    p = l->mem->map(l->mem->ctx, gpa, mem_len, true);
    if (!p || len > mem_len)
        return loader_file_fail(l, f, -EFAULT, "no RAM at %#llx", (unsigned long long)gpa);
    e = loader_read(l, f, off, p, len);
    if (e)
        return e;
    memset(p + len, 0, mem_len - len);
    if (l->mem->written)
        l->mem->written(l->mem->ctx, gpa, mem_len);
    return 0;
}

int loader_put(struct loader *l, uint64_t gpa, const void *buf, uint64_t len)
{
    int e = guest_write(l->mem, gpa, buf, len);
    return e ? loader_file_fail(l, &l->kernel, e, "no RAM at %#llx", (unsigned long long)gpa) : 0;
}

int loader_put_low(struct loader *l, const void *buf, uint64_t len, uint64_t align,
                   const char *what, uint64_t *gpa)
{
    /* 0x500: below lie the real-mode vectors and the BIOS data area. */
    int e = loader_alloc(l, len, align, 0x1000, PC_LOW_RAM_END, false, what, gpa);
    return e ? e : loader_put(l, *gpa, buf, len);
}

int loader_cmdline(struct loader *l, char **out)
{
    size_t a = strlen(l->kernel.name), b = strlen(l->append);
    char *s;
    if (a + b + 2 > KiB(64))
        return loader_fail(l, -E2BIG, "--append: longer than 64 KiB");
    s = malloc(a + b + 2);
    if (!s)
        return loader_fail(l, -ENOMEM, "--append: out of memory");
    memcpy(s, l->kernel.name, a);
    s[a] = b ? ' ' : 0;
    memcpy(s + a + 1, l->append, b + 1);
    *out = s;
    return 0;
}

static int load_module(struct loader *l, const struct loader_file *f, uint64_t min, uint64_t *gpa)
{
    /* Below 3 GiB: kernels of these formats start without paging or with a small map. */
    int e = loader_alloc(l, f->size, 4096, min, PC_HOLE_START, false, f->name, gpa);
    if (e)
        return loader_file_fail(l, f, e, "%llu KiB do not fit into memory (more --memory?)",
                                (unsigned long long)(f->size + 1023) / 1024);
    return loader_copy(l, f, 0, f->size, *gpa, f->size);
}

int loader_modules(struct loader *l, uint64_t min,
                   int (*add)(void *arg, uint64_t gpa, uint64_t len, const char *args), void *arg)
{
    uint64_t gpa;
    int e = 0;
    if (l->have_initrd) {
        e = load_module(l, &l->initrd, min, &gpa);
        if (!e)
            e = add(arg, gpa, l->initrd.size, l->initrd.name);
    }
    for (unsigned i = 0; !e && i < l->modules; i++) {
        e = load_module(l, &l->module[i], min, &gpa);
        if (!e)
            e = add(arg, gpa, l->module[i].size, l->module_args[i]);
    }
    return e;
}

unsigned loader_e820(const struct loader *l, struct loader_e820 out[LOADER_MAX_E820])
{
    unsigned n = 0;
    for (unsigned i = 0; i < l->map->count && n < LOADER_MAX_E820; i++) {
        const struct memmap_range *r = &l->map->range[i];
        if (r->type < MEMMAP_MMIO)
            out[n++] = (struct loader_e820){ r->base, r->len, (uint32_t)r->type };
    }
    return n;
}

uint64_t loader_used_end(const struct loader *l)
{
    uint64_t end = MiB(1);
    for (unsigned i = 0; i < l->used_count; i++)
        end = MAX(end, l->used[i].base + l->used[i].len);
    return end;
}
