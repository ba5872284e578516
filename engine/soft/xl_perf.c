/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --perf-map: tells perf(1) which guest code a piece of generated code is, as lines `start size
 * name` in /tmp/perf-PID.map. perf has no notion of time in that file: once the code cache has been
 * emptied, addresses are used anew, and names from then on say so (`cache 2`).
 * [PERF] tools/perf/Documentation/jit-interface.txt
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/soft/soft.h"

enum { NAME_MAX_LEN = 127, MAX_SYMBOLS = 1 << 20 };

struct symbol {
    uint64_t address;
    char *name;
};

struct xl_perf {
    FILE *file;
    pthread_mutex_t lock; /* several vCPUs translate; one line at a time */
    struct symbol *symbol;
    size_t symbols;
};

static int by_address(const void *a, const void *b)
{
    uint64_t x = ((const struct symbol *)a)->address, y = ((const struct symbol *)b)->address;

    return (x > y) - (x < y);
}

/* Lines `address type name`, as of nm, System.map and /proc/kallsyms. */
static int read_symbols(struct xl_perf *p, const char *path)
{
    char line[512], name[NAME_MAX_LEN + 1];
    unsigned long long address;
    size_t room = 0;
    FILE *f = fopen(path, "re");
    int err = 0;

    if (!f)
        return -errno;
    while (!err && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%llx %*1s %127s", &address, name) != 2)
            continue;
        if (p->symbols == room) {
            size_t more = room ? room * 2 : 4096;
            struct symbol *s = more > MAX_SYMBOLS ? NULL : realloc(p->symbol, more * sizeof(*s));
            if (!s) {
                err = -ENOMEM;
                break;
            }
            p->symbol = s;
            room = more;
        }
        p->symbol[p->symbols].address = address;
        if (!(p->symbol[p->symbols].name = strdup(name)))
            err = -ENOMEM;
        else
            p->symbols++;
    }
    fclose(f);
    if (!err && !p->symbols)
        err = -EINVAL;
    if (!err)
        qsort(p->symbol, p->symbols, sizeof(*p->symbol), by_address);
    return err;
}

void xl_perf_close(struct xl_perf *p)
{
    if (!p)
        return;
    if (p->file)
        fclose(p->file);
    for (size_t i = 0; i < p->symbols; i++)
        free(p->symbol[i].name);
    free(p->symbol);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

int xl_perf_open(struct xl_perf **out, const char *symbols)
{
    struct xl_perf *p = calloc(1, sizeof(*p));
    char path[64];
    int fd, err;

    if (!p)
        return -ENOMEM;
    pthread_mutex_init(&p->lock, NULL);
    err = *symbols ? read_symbols(p, symbols) : 0;
    if (err)
        goto fail;
    /* What is there is of a dead process with our number, or a trap in a folder all may write. */
    snprintf(path, sizeof(path), "/tmp/perf-%ld.map", (long)getpid());
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    p->file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!p->file) {
        err = -errno;
        if (fd >= 0)
            close(fd);
        goto fail;
    }
    *out = p;
    return 0;
fail:
    xl_perf_close(p);
    return err;
}

static const struct symbol *find(const struct xl_perf *p, uint64_t address)
{
    size_t low = 0, high = p->symbols;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (p->symbol[mid].address <= address)
            low = mid + 1;
        else
            high = mid;
    }
    /* Farther away it is no function any more, but a hole in the table. */
    return low && address - p->symbol[low - 1].address < 1 << 20 ? &p->symbol[low - 1] : NULL;
}

/* Generated code from offset `code` to `end` is the block at rip. */
void xl_perf_block(struct soft_vcpu *v, uint64_t rip, uint32_t code, uint32_t end)
{
    struct xl_perf *p = v->vm->perf;
    const bool user = v->cpu.cpl == 3;
    const struct symbol *s = user ? NULL : find(p, rip);
    char again[32] = "";

    if (v->xl.generation > 2) /* the first was before any code */
        snprintf(again, sizeof(again), " cache %u", v->xl.generation - 1);
    pthread_mutex_lock(&p->lock);
    fprintf(p->file, "%llx %x guest 0x%llx %s", (unsigned long long)(uintptr_t)(v->xl.rx + code),
            end - code, (unsigned long long)rip, user ? "user" : "kernel");
    if (s)
        fprintf(p->file, " %s+0x%llx", s->name, (unsigned long long)(rip - s->address));
    fprintf(p->file, "%s\n", again);
    pthread_mutex_unlock(&p->lock);
}

struct thunk {
    const char *name;
    uint32_t at;
};

static int by_offset(const void *a, const void *b)
{
    uint32_t x = ((const struct thunk *)a)->at, y = ((const struct thunk *)b)->at;

    return (x > y) - (x < y);
}

/* What all blocks share, each up to the next. */
void xl_perf_thunks(struct soft_vcpu *v)
{
    const struct xl *xl = &v->xl;
    struct xl_perf *p = v->vm->perf;
    struct thunk thunk[] = {
        { "enter", xl->enter },
        { "leave_link", xl->leave_link },
        { "dispatch", xl->dispatch[0] },
        { "dispatch_user", xl->dispatch[1] },
        { "emulate", xl->emulate },
        { "last", xl->last },
        { "fill", xl->fill[0][0] },
        { "syscall", xl->syscall },
        { "sysret", xl->sysret },
        { "iret", xl->iret },
        { "string", xl->string[0][0][0] },
    };

    qsort(thunk, ARRAY_LEN(thunk), sizeof(thunk[0]), by_offset);
    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < ARRAY_LEN(thunk); i++) {
        uint32_t end = i + 1 < ARRAY_LEN(thunk) ? thunk[i + 1].at : xl->first;
        if (end > thunk[i].at)
            fprintf(p->file, "%llx %x thunk %s\n",
                    (unsigned long long)(uintptr_t)(xl->rx + thunk[i].at), end - thunk[i].at,
                    thunk[i].name);
    }
    pthread_mutex_unlock(&p->lock);
}
