/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory by linear address, the slow paths: TLB fill, page crossing, MMIO with replay, code
 * pages, alignment check, data breakpoints; and port I/O. */
#include <string.h>

#include "isa/x86/emu.h"

/* The page an access goes to. */
struct page {
    uint8_t *host; /* of the byte addressed; NULL: MMIO */
    uint64_t gpa;  /* of the byte addressed */
    unsigned props;
};

static uint64_t lin_mask(const struct x86_cpu *cpu) { return x86_long(cpu) ? ~0ull : 0xffffffff; }

static unsigned room(uint64_t lin) { return 0x1000 - (unsigned)(lin & 0xfff); }

static bool page_watched(const struct x86_cpu *cpu, uint64_t page)
{
    for (unsigned i = 0; i < cpu->watches; i++)
        if (cpu->watch[i].kind != 2 && (cpu->watch[i].addr & ~0xfffull) == page)
            return true;
    return false;
}

static void watch_check(struct x86_cpu *cpu, uint64_t lin, unsigned len, enum x86_access access)
{
    for (unsigned i = 0; i < cpu->watches; i++) {
        const struct x86_watch *w = &cpu->watch[i];
        if ((w->kind == 3 || (w->kind == 1 && access == X86_WRITE)) &&
            range_overlaps(w->addr, w->len, lin, len))
            cpu->watch_hit |= w->hit;
    }
}

/* ---- TLB ---- */

/* Puts the page of a walk that succeeded into the TLB, if it is RAM. */
static void enter(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                  const struct x86_walk *w, struct page *pg)
{
    const uint64_t page = lin & ~0xfffull;

    pg->gpa = w->gpa;
    pg->host = cpu->env->ram(cpu, w->gpa & ~0xfffull, &pg->props);
    if (!pg->host)
        return;

    bool slow = (user && cpu->align_check) || (cpu->watches && page_watched(cpu, page));
    bool writable = (w->prot & 1u << X86_WRITE) && x86_ram_is_plain(pg->props);
    x86_tlb_enter(cpu, lin, access, user, w, pg->host, writable, slow);
    pg->host += lin & 0xfff;
}

static bool fill(struct x86_cpu *cpu, uint64_t lin, enum x86_access access, unsigned user,
                 struct page *pg, uint32_t *error)
{
    struct x86_walk w;

    if (!x86_try_walk(cpu, lin, access, user, &w)) {
        *error = w.error;
        return false;
    }
    enter(cpu, lin, access, user, &w, pg);
    return true;
}

bool x86_tlb_fill(struct x86_cpu *cpu, uint64_t lin, unsigned size, enum x86_access access,
                  unsigned user)
{
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, user);
    struct x86_walk w;
    struct page pg;

    if (room(lin) < size || lin != (lin & lin_mask(cpu)) ||
        (x86_long(cpu) && !x86_canonical(lin)) || !x86_quiet_walk(cpu, lin, access, user, &w))
        return false;
    enter(cpu, lin, access, user, &w, &pg);
    return (access == X86_READ ? e->r : e->w) == lin >> 12;
}

/* The page of an access that must not fail quietly: throws #GP, #SS, #PF. */
static void get_page(struct x86_cpu *cpu, unsigned seg, uint64_t lin, enum x86_access access,
                     unsigned user, struct page *pg)
{
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, user);
    uint32_t error;

    if ((access == X86_READ ? e->r : e->w) == lin >> 12) {
        pg->host = (uint8_t *)(uintptr_t)(lin + e->addend);
        pg->props = X86_RAM_WRITABLE;
        return;
    }
    if (x86_long(cpu) && !x86_canonical(lin))
        x86_fault_code(cpu, seg == X86_SS ? X86_SS_VEC : X86_GP, 0);
    if (!fill(cpu, lin, access, user, pg, &error))
        x86_page_fault(cpu, lin, error);
}

static void check_align(struct x86_cpu *cpu, uint64_t lin, unsigned size, unsigned user)
{
    /* An address that is not canonical is #GP or #SS first. */
    if (unlikely(user && cpu->align_check && (lin & (size - 1))) && x86_canonical(lin))
        x86_fault_code(cpu, X86_ACV, 0);
}

/* ---- I/O with replay ---- */

/*
 * Does, or takes from the log of an earlier try of this instruction, one access outside RAM. Every
 * finished access is logged, also those done at once: a later access of the same instruction may
 * leave the run, and then the instruction is executed anew. The block ends behind an instruction
 * that did I/O, where the log is cleared.
 */
static void io_access(struct x86_cpu *cpu, bool port, uint64_t addr, void *data, unsigned len,
                      bool write)
{
    cpu->stop = 1;
    if (cpu->replay.next < cpu->replay.count) {
        if (!write)
            memcpy(data, cpu->replay.data[cpu->replay.next], len);
        cpu->replay.next++;
        return;
    }
    if (cpu->replay.count == ARRAY_LEN(cpu->replay.data))
        x86_error(cpu, "an instruction with more than 128 I/O accesses");

    bool done = port ? cpu->env->pio(cpu, (uint16_t)addr, data, len, write)
                     : cpu->env->mmio(cpu, addr, data, len, write);
    if (done) {
        memcpy(cpu->replay.data[cpu->replay.count++], data, len);
        cpu->replay.next++;
        return;
    }
    cpu->io.addr = addr;
    cpu->io.len = (uint8_t)len;
    cpu->io.write = write;
    memset(cpu->io.data, 0, sizeof(cpu->io.data));
    if (write)
        memcpy(cpu->io.data, data, len);
    x86_throw(cpu, port ? X86_EXIT_PIO : X86_EXIT_MMIO);
}

static void mmio(struct x86_cpu *cpu, uint64_t gpa, uint8_t *data, unsigned len, bool write)
{
    for (unsigned n; len; gpa += n, data += n, len -= n) {
        n = MIN(len, 8u);
        io_access(cpu, false, gpa, data, n, write);
    }
}

void x86_pio(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool write)
{
    for (unsigned i = 0; i < cpu->watches; i++)
        if (cpu->watch[i].kind == 2 &&
            range_overlaps(cpu->watch[i].addr, cpu->watch[i].len, port, len))
            cpu->watch_hit |= cpu->watch[i].hit;
    io_access(cpu, true, port, data, len, write);
}

void x86_io_done(struct x86_cpu *cpu)
{
    if (cpu->replay.count < ARRAY_LEN(cpu->replay.data))
        memcpy(cpu->replay.data[cpu->replay.count++], cpu->io.data, sizeof(cpu->io.data));
}

/* ---- accesses within one page ---- */

static void load_part(struct x86_cpu *cpu, const struct page *pg, void *buf, unsigned len)
{
    if (likely(pg->host != NULL))
        memcpy(buf, pg->host, len);
    else
        mmio(cpu, pg->gpa, buf, len, false);
}

static bool is_io(const struct page *pg) { return !pg->host || (pg->props & X86_RAM_ROM); }

static void store_part(struct x86_cpu *cpu, const struct page *pg, const void *buf, unsigned len)
{
    if (unlikely(is_io(pg))) {
        mmio(cpu, pg->gpa, (uint8_t *)(uintptr_t)buf, len, true);
        return;
    }
    if (pg->props & X86_RAM_CODE)
        cpu->env->store_code(cpu, pg->gpa, len);
    memcpy(pg->host, buf, len);
}

/* A naturally aligned value is stored at once, as other processors expect. */
static void store_value(struct x86_cpu *cpu, const struct page *pg, uint64_t v, unsigned size)
{
    if (unlikely(is_io(pg))) {
        mmio(cpu, pg->gpa, (uint8_t *)&v, size, true);
        return;
    }
    if (pg->props & X86_RAM_CODE)
        cpu->env->store_code(cpu, pg->gpa, size);
    le_put(pg->host, v, size);
}

/* ---- the interface ---- */

uint64_t x86_load_slow(struct x86_cpu *cpu, unsigned seg, uint64_t lin, unsigned size,
                       unsigned user)
{
    uint64_t v = 0;
    struct page pg;

    lin &= lin_mask(cpu);
    check_align(cpu, lin, size, user);
    if (unlikely(room(lin) < size)) {
        x86_load_bytes(cpu, seg, lin, &v, size, user);
        return v;
    }
    get_page(cpu, seg, lin, X86_READ, user, &pg);
    if (likely(pg.host != NULL))
        v = le_get(pg.host, size);
    else
        mmio(cpu, pg.gpa, (uint8_t *)&v, size, false);
    if (unlikely(cpu->watches))
        watch_check(cpu, lin, size, X86_READ);
    return v;
}

void x86_store_slow(struct x86_cpu *cpu, unsigned seg, uint64_t lin, uint64_t v, unsigned size,
                    unsigned user)
{
    struct page pg;

    lin &= lin_mask(cpu);
    check_align(cpu, lin, size, user);
    if (unlikely(room(lin) < size)) {
        x86_store_bytes(cpu, seg, lin, &v, size, user);
        return;
    }
    get_page(cpu, seg, lin, X86_WRITE, user, &pg);
    store_value(cpu, &pg, v, size);
    if (unlikely(cpu->watches))
        watch_check(cpu, lin, size, X86_WRITE);
}

void x86_load_bytes(struct x86_cpu *cpu, unsigned seg, uint64_t lin, void *buf, unsigned len,
                    unsigned user)
{
    uint8_t *p = buf;
    struct page pg;

    lin &= lin_mask(cpu);
    if (room(lin) < len) /* the whole must be accessible before a device sees any of it */
        x86_probe(cpu, seg, lin, len, X86_READ, user);
    for (unsigned n; len; lin = (lin + n) & lin_mask(cpu), p += n, len -= n) {
        n = MIN(len, room(lin));
        get_page(cpu, seg, lin, X86_READ, user, &pg);
        load_part(cpu, &pg, p, n);
        if (unlikely(cpu->watches))
            watch_check(cpu, lin, n, X86_READ);
    }
}

/*
 * Parts outside RAM are stored first: if one leaves the run, a read-modify-write that is executed
 * anew must find RAM as it was.
 */
void x86_store_bytes(struct x86_cpu *cpu, unsigned seg, uint64_t lin, const void *buf, unsigned len,
                     unsigned user)
{
    struct page pg;

    lin &= lin_mask(cpu);
    if (room(lin) >= len) {
        get_page(cpu, seg, lin, X86_WRITE, user, &pg);
        store_part(cpu, &pg, buf, len);
        if (unlikely(cpu->watches))
            watch_check(cpu, lin, len, X86_WRITE);
        return;
    }
    x86_probe(cpu, seg, lin, len, X86_WRITE, user);
    for (unsigned pass = 0; pass < 2; pass++) {
        const uint8_t *p = buf;
        uint64_t at = lin;
        unsigned left = len;
        for (unsigned n; left; at = (at + n) & lin_mask(cpu), p += n, left -= n) {
            n = MIN(left, room(at));
            get_page(cpu, seg, at, X86_WRITE, user, &pg);
            if (is_io(&pg) == !pass)
                store_part(cpu, &pg, p, n);
        }
    }
    if (unlikely(cpu->watches))
        watch_check(cpu, lin, len, X86_WRITE);
}

void x86_probe(struct x86_cpu *cpu, unsigned seg, uint64_t lin, unsigned len,
               enum x86_access access, unsigned user)
{
    struct page pg;

    lin &= lin_mask(cpu);
    /* The whole operand's canonical form comes before any page. */
    if (len && x86_long(cpu) && !x86_canonical(lin + len - 1))
        x86_fault_code(cpu, seg == X86_SS ? X86_SS_VEC : X86_GP, 0);
    for (unsigned n; len; lin = (lin + n) & lin_mask(cpu), len -= n) {
        n = MIN(len, room(lin));
        get_page(cpu, seg, lin, access, user, &pg);
    }
}

void *x86_rmw_slow(struct x86_cpu *cpu, unsigned seg, uint64_t lin, unsigned size, unsigned user)
{
    struct page pg;

    lin &= lin_mask(cpu);
    check_align(cpu, lin, size, user);
    if (unlikely(room(lin) < size)) {
        x86_probe(cpu, seg, lin, size, X86_WRITE, user);
        return NULL;
    }
    get_page(cpu, seg, lin, X86_WRITE, user, &pg);
    if (is_io(&pg) || (cpu->watches && page_watched(cpu, lin & ~0xfffull)))
        return NULL;
    /* Writing is what the caller is about to do, and it may have to be atomic. */
    if (pg.props & X86_RAM_CODE)
        cpu->env->store_code(cpu, pg.gpa, size);
    return pg.host;
}

/* ---- fetch ---- */

static bool fetch_fault(struct x86_cpu *cpu, unsigned vector, uint32_t error, uint64_t lin)
{
    cpu->exc = (struct x86_exception){
        .vector = (uint8_t)vector, .has_error = vector != X86_UD, .error = error, .payload = lin
    };
    return false;
}

/* Linear address of rip, and how many bytes CS's limit leaves from there. */
static bool code_linear(struct x86_cpu *cpu, uint64_t *lin, uint64_t *left)
{
    const struct x86_seg *cs = &cpu->seg[X86_CS];

    if (cpu->code == 8) {
        *lin = cpu->rip;
        *left = 15;
        return x86_canonical(cpu->rip);
    }
    cpu->rip &= 0xffffffff;
    *lin = (cs->base + cpu->rip) & 0xffffffff;
    *left = cpu->rip <= cs->limit ? (uint64_t)cs->limit - cpu->rip + 1 : 0;
    return *left;
}

/* Host address of a byte to be fetched. *host is NULL outside RAM. */
static bool fetch_page(struct x86_cpu *cpu, uint64_t lin, const uint8_t **host)
{
    unsigned user = x86_user(cpu);
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, user);
    struct page pg;
    uint32_t error;

    if (likely(e->x == lin >> 12)) {
        *host = (const uint8_t *)(uintptr_t)(lin + e->addend);
        return true;
    }
    if (x86_long(cpu) && !x86_canonical(lin))
        return fetch_fault(cpu, X86_GP, 0, 0);
    if (!fill(cpu, lin, X86_EXEC, user, &pg, &error))
        return fetch_fault(cpu, X86_PFV, error, lin);
    *host = pg.host;
    return true;
}

const uint8_t *x86_code_host(struct x86_cpu *cpu)
{
    const uint8_t *host;
    uint64_t lin, left;

    if (!code_linear(cpu, &lin, &left) || !fetch_page(cpu, lin, &host))
        return NULL;
    return host;
}

const uint8_t *x86_code_host_next(struct x86_cpu *cpu, uint64_t lin)
{
    const uint8_t *host;

    return fetch_page(cpu, lin & lin_mask(cpu), &host) ? host : NULL;
}

bool x86_fetch(struct x86_cpu *cpu, struct x86_insn *insn, uint64_t *gpa)
{
    uint8_t bytes[16];
    const uint8_t *host;
    uint64_t lin, left;
    unsigned have;
    int status;

    if (!code_linear(cpu, &lin, &left))
        return fetch_fault(cpu, X86_GP, 0, 0);
    if (!fetch_page(cpu, lin, &host))
        return false;
    if (gpa) {
        struct x86_walk w;
        *gpa = x86_try_walk(cpu, lin, X86_EXEC, x86_user(cpu), &w) ? w.gpa : ~0ull;
    }

    unsigned want = (unsigned)MIN(left, (uint64_t)15);
    have = MIN(want, room(lin));
    if (host) {
        status = x86_decode(insn, host, have, cpu->code);
    } else {
        memset(bytes, 0xff, sizeof(bytes));
        status = x86_decode(insn, bytes, have, cpu->code);
    }
    if (status == X86_DECODE_SHORT && have < want) { /* it crosses into the next page */
        if (host)
            memcpy(bytes, host, have);
        if (!fetch_page(cpu, (lin + have) & lin_mask(cpu), &host))
            return false;
        if (host)
            memcpy(bytes + have, host, want - have);
        else
            memset(bytes + have, 0xff, want - have);
        status = x86_decode(insn, bytes, want, cpu->code);
        if (gpa)
            *gpa = ~0ull;
    }
    if (status == X86_DECODE_OK)
        return true;
    return fetch_fault(cpu, X86_GP, 0, 0); /* beyond the limit, or longer than 15 bytes */
}
