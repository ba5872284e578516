/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The window: the host's MMU for hot user code. The pages that one guest address space allows user
 * code to access are mapped at the guest's own addresses, but for bit 46, which is always clear
 * there: host addresses below 2^46 hold nothing else. Code for that address space needs no look-ups
 * then: it clears the bit and accesses. What is not mapped faults on the host, and the handler maps
 * the page, or has the interpreter do the instruction.
 *
 * The window is a cache like the software TLB: what it holds may be used until the guest flushes,
 * and never allows more than the guest's page tables did. Pages that the engine must see stores to
 * (code, dirty logging) are mapped read-only. Where the guest has pages that may differ in bit 46
 * alone there is no window: the top page table tells, and stores to it are watched.
 *
 * A process has one window, so that it is for machines of one vCPU. Which address space has it:
 * xl_turn.c; what accesses that fault are for: xl_window_fault.c. docs/translator.md says more.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/soft/xl_window.h"
#include "isa/x86/emu.h"

enum {
    PAGES = 1 << 15, /* mapped at most: the host allows 65530 mappings */
    HASH = 1 << 15,
    NONE = 0,
    LOWEST = 0x10000 /* [proc(5)] vm.mmap_min_addr */
};

/* Displacements reach 2 GiB beyond. */
#define CLEAR (XL_ALIAS + BIT(32))

struct page {
    uint64_t lin;        /* page number as the guest has it */
    const uint8_t *host; /* of guest RAM; NULL: free */
    uint16_t next_lin, next_host;
    bool writable, bad;
};

struct xl_window {
    uint64_t cr3; /* of the owner; XL_NO_OWNER */
    unsigned view;
    bool stale;   /* flushed: what is mapped may be used only after a look at the page tables */
    bool refused; /* the host does not map guest RAM a second time */
    bool large;   /* parts of large pages, which INVLPG drops as a whole, have been mapped */
    unsigned used;
    uint16_t free, fresh; /* of page[]: list of those free again, first never used */
    uint16_t by_lin[HASH], by_host[HASH];
    struct page page[PAGES]; /* [0] is NONE */
    struct {                 /* the same memory as a slot's, read-only */
        const uint8_t *host;
        uint8_t *ro;
        size_t len;
    } slot[SOFT_SLOTS];
    struct xl_turn turn;
};

_Static_assert(PAGES <= 1 << 16, "indices are 16 bits");

static _Atomic(struct soft_vcpu *) owner; /* the vCPU of this process that has the window */

/* ---- the host's address space ---- */

/* Nothing of ours lies where the window will be, and by the way Linux places mappings nothing ever
 * will. */
static bool low_half_is_free(void)
{
    const int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    uint64_t lowest = 0;
    char c;

    if (fd < 0)
        return false;
    while (read(fd, &c, 1) == 1 && c != '-') /* the lowest comes first */
        lowest = lowest << 4 | (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
    close(fd);
    return lowest >= CLEAR;
}

static uint8_t *at(uint64_t lin) /* page number */
{
    return (uint8_t *)(uintptr_t)((lin << 12) & ~XL_ALIAS);
}

/* ---- pages ---- */

static uint16_t *lin_bucket(struct xl_window *w, uint64_t lin)
{
    const uint64_t n = lin & ~(XL_ALIAS >> 12);
    return &w->by_lin[(n ^ n >> 14) % HASH];
}

static uint16_t *host_bucket(struct xl_window *w, const uint8_t *host)
{
    const uint64_t n = (uintptr_t)host >> 12;
    return &w->by_host[(n ^ n >> 14) % HASH];
}

/* The page mapped where lin would be. */
static struct page *page_at(struct xl_window *w, uint64_t lin)
{
    for (uint16_t i = *lin_bucket(w, lin); i; i = w->page[i].next_lin)
        if (at(w->page[i].lin) == at(lin))
            return &w->page[i];
    return NULL;
}

static void unchain(struct xl_window *w, struct page *p)
{
    const uint16_t n = (uint16_t)(p - w->page);
    uint16_t *i;

    for (i = lin_bucket(w, p->lin); *i != n; i = &w->page[*i].next_lin)
        continue;
    *i = p->next_lin;
    for (i = host_bucket(w, p->host); *i != n; i = &w->page[*i].next_host)
        continue;
    *i = p->next_host;
    p->host = NULL;
    p->next_lin = w->free;
    w->free = n;
    w->used--;
}

static void forget(struct xl_window *w)
{
    if (w->used)
        munmap((void *)(uintptr_t)LOWEST, XL_ALIAS - LOWEST);
    memset(w->by_lin, 0, sizeof(w->by_lin));
    memset(w->by_host, 0, sizeof(w->by_host));
    w->free = NONE;
    w->fresh = 1;
    w->used = 0;
    w->stale = w->large = false;
}

static void drop(struct xl_window *w, struct page *p)
{
    w->turn.churn++;
    if (munmap(at(p->lin), 0x1000) < 0) /* it would have to split a mapping, and has no memory */
        forget(w);
    else
        unchain(w, p);
}

/* A page[] to be filled; what is mapped goes if there is none. */
static uint16_t take(struct xl_window *w)
{
    uint16_t i = w->free;

    if (i) {
        w->free = w->page[i].next_lin;
        return i;
    }
    if (w->fresh == PAGES) {
        xl_turn_full(&w->turn);
        forget(w);
    }
    return w->fresh++;
}

static void forget_slots(struct xl_window *w)
{
    for (unsigned i = 0; i < SOFT_SLOTS; i++)
        if (w->slot[i].ro)
            munmap(w->slot[i].ro, w->slot[i].len);
    memset(w->slot, 0, sizeof(w->slot));
}

/* Where host, a page of guest RAM, is mapped for reading only. */
static uint8_t *read_only(struct soft_vcpu *v, const uint8_t *host)
{
    const struct soft_slot *s = soft_slot_of_host(v, host);
    struct xl_window *w = v->xl.window;
    unsigned i;

    for (i = 0; i < SOFT_SLOTS && w->slot[i].ro; i++)
        if ((uintptr_t)host - (uintptr_t)w->slot[i].host < w->slot[i].len)
            return w->slot[i].ro + (host - w->slot[i].host);
    if (!s || i == SOFT_SLOTS)
        return NULL;
    void *ro = mremap(s->host, 0, s->len, MREMAP_MAYMOVE);
    if (ro == MAP_FAILED)
        return NULL; /* not shared memory */
    if (mprotect(ro, s->len, PROT_READ) < 0) {
        munmap(ro, s->len);
        return NULL;
    }
    w->slot[i].host = s->host;
    w->slot[i].len = s->len;
    w->slot[i].ro = ro;
    return (uint8_t *)ro + (host - s->host);
}

static bool map(struct soft_vcpu *v, uint64_t lin, const uint8_t *host, bool writable)
{
    const uint8_t *from = writable ? host : read_only(v, host);

    if (!from || !soft_slot_of_host(v, host))
        return false;
    return mremap((void *)(uintptr_t)from, 0, 0x1000, MREMAP_MAYMOVE | MREMAP_FIXED, at(lin)) ==
           at(lin);
}

bool xl_window_install(struct soft_vcpu *v, uint64_t lin, bool write)
{
    struct xl_window *w = v->xl.window;
    struct x86_cpu *cpu = &v->cpu;
    const uint64_t n = lin >> 12;
    const struct x86_tlb_entry *e = x86_tlb_entry(cpu, lin, 1);
    const unsigned index = n % X86_TLB_SIZE;
    const uint64_t bit = BIT(index % 64);

    if ((uintptr_t)at(n) < LOWEST)
        return false;
    if (!x86_tlb_host(cpu, lin, write ? X86_WRITE : X86_READ, 1))
        return false;
    if (e->r != n || (cpu->tlb[1]->global[index / 64] & bit))
        return false;
    const uint8_t *host = (const uint8_t *)(uintptr_t)((n << 12) + e->addend);
    const bool writable = e->w == n;
    struct page *p = page_at(w, n);
    if (p) {
        if (p->lin != n || p->host != host || p->writable || !writable)
            return false;
        p->writable = map(v, n, host, true);
        return p->writable;
    }
    const uint16_t i = take(w);
    p = &w->page[i];
    if (!map(v, n, host, writable)) {
        w->refused = true;
        *p = (struct page){ .next_lin = w->free };
        w->free = i;
        return false;
    }
    *p = (struct page){ .lin = n,
                        .host = host,
                        .writable = writable,
                        .next_lin = *lin_bucket(w, n),
                        .next_host = *host_bucket(w, host) };
    *lin_bucket(w, n) = *host_bucket(w, host) = i;
    w->large |= (cpu->tlb[1]->large[index / 64] & bit) != 0;
    w->used++;
    v->xl.window_pages++;
    return true;
}

/* ---- what is told ---- */

/* The owner's view may have been given to another address space. */
static void set_active(struct soft_vcpu *v)
{
    struct xl_window *w = v->xl.window;
    const bool has = w->cr3 != XL_NO_OWNER && xl_cr3_base(v->cpu.view[w->view].cr3) == w->cr3;

    w->stale |= !has;
    v->xl.window_view = has ? (int)w->view : -1;
}

static bool still_valid(struct soft_vcpu *v, const struct page *p)
{
    struct x86_cpu *cpu = &v->cpu;
    struct x86_walk walk;
    unsigned props;

    if (!x86_quiet_walk(cpu, p->lin << 12, X86_READ, 1, &walk) || walk.global ||
        cpu->env->ram(cpu, walk.gpa & ~0xfffull, &props) != p->host)
        return false;
    return !p->writable || ((walk.prot & 1u << X86_WRITE) && x86_ram_is_plain(props));
}

/* Whether two parts of the address space that differ in bit 46 are both in use. */
static bool ambiguous(const uint8_t *root)
{
    for (unsigned i = 0; i < 128; i++)
        if (le64(root + 8 * i) & le64(root + 8 * (i + 128)) & X86_PTE_P)
            return true;
    return false;
}

void xl_window_lose(struct soft_vcpu *v)
{
    v->xl.window->cr3 = XL_NO_OWNER;
    v->xl.window_root = NULL;
    set_active(v);
}

/* The guest flushed: keeps what the page tables still say. */
static void refresh(struct soft_vcpu *v)
{
    struct xl_window *w = v->xl.window;
    unsigned bad = 0;

    w->stale = false;
    w->turn.churn += w->used / 64; /* about what it costs */
    v->xl.window_refreshes++;
    if (ambiguous(v->xl.window_root)) {
        xl_window_lose(v);
        return;
    }
    if (v->cpu.watches) {
        forget(w);
        return;
    }
    for (unsigned i = 1; i < w->fresh; i++) {
        struct page *p = &w->page[i];
        p->bad = p->host && !still_valid(v, p);
        bad += p->bad;
    }
    if (bad > w->used / 2 && bad > 16) {
        w->turn.churn += w->used;
        forget(w);
        return;
    }
    for (unsigned i = 1; i < w->fresh; i++)
        if (w->page[i].host && w->page[i].bad)
            drop(w, &w->page[i]);
}

void xl_window_event(struct soft_vcpu *v, enum x86_tlb_event what, uint64_t arg)
{
    struct xl_window *w = v->xl.window;
    const struct x86_cpu *cpu = &v->cpu;

    if (w && what == X86_TLB_SWITCH)
        w->turn.since = 0;
    if (!w || w->cr3 == XL_NO_OWNER)
        return;
    switch (what) {
    case X86_TLB_ALL: w->stale = true; break;
    case X86_TLB_LOCAL: w->stale |= cpu->view_id == w->view; break;
    case X86_TLB_PAGE:
    case X86_TLB_CODE_PAGE:
        if (cpu->view_id == w->view) {
            struct page *p = page_at(w, arg >> 12);
            if (w->large)
                w->stale = true;
            else if (p && p->lin == arg >> 12)
                drop(w, p);
        }
        break;
    case X86_TLB_SWITCH:
        if (xl_cr3_base(cpu->view[cpu->view_id].cr3) == w->cr3 && cpu->view_id != w->view) {
            w->view = cpu->view_id;
            w->stale = true;
        }
        break;
    case X86_TLB_VIEW:
    case X86_TLB_VIEW_PAGE: w->stale |= arg == w->view; break;
    }
    set_active(v);
}

void xl_window_forget(struct soft_vcpu *v)
{
    if (!v->xl.window)
        return;
    forget(v->xl.window);
    forget_slots(v->xl.window);
    xl_window_lose(v);
}

void xl_window_root_changes(struct soft_vcpu *v)
{
    v->xl.window->stale = true;
    xl_set_salt(v);
}

void xl_window_protect(struct soft_vcpu *v, const uint8_t *host)
{
    struct xl_window *w = v->xl.window;

    if (!w)
        return;
    for (uint16_t i = *host_bucket(w, host), next; i; i = next) {
        struct page *p = &w->page[i];
        next = p->next_host;
        if (p->host == host && p->writable)
            drop(w, p);
    }
}

void xl_window_give(struct soft_vcpu *v)
{
    struct xl_window *w = v->xl.window;
    unsigned props;
    const uint8_t *root = v->cpu.env->ram(&v->cpu, xl_cr3_base(v->cpu.cr3), &props);

    if (w->refused || !root || ambiguous(root))
        return;
    v->xl.window_root = root;
    x86_tlb_protect(&v->cpu, root);
    forget(w);
    w->cr3 = xl_cr3_base(v->cpu.cr3);
    w->view = v->cpu.view_id;
    xl_turn_begin(&w->turn);
    v->xl.window_owners++;
    set_active(v);
}

void xl_window_ready(struct soft_vcpu *v)
{
    struct xl_window *w = v->xl.window;

    if (!w || v->cpu.cpl != 3 || v->cpu.code != 8)
        return;
    if (v->vm->window)
        xl_turn_by_count(v);
    if (w->stale && v->xl.window_view == v->cpu.view_id)
        refresh(v);
}

uint64_t xl_window_owner(const struct soft_vcpu *v) { return v->xl.window->cr3; }

struct xl_turn *xl_window_turn(struct soft_vcpu *v)
{
    return v->xl.window ? &v->xl.window->turn : NULL;
}

bool xl_window_stale(const struct soft_vcpu *v) { return v->xl.window && v->xl.window->stale; }

/* ---- life ---- */

bool xl_window_possible(void)
{
    return xl_host_bmi2() && !xl_host_slow_pext() && low_half_is_free();
}

void xl_window_init(struct soft_vcpu *v)
{
    struct soft_vcpu *none = NULL;
    struct xl_window *w;

    v->xl.window_view = -1;
    v->xl.window_mask = ~XL_ALIAS;
    if (v->vm->no_window || v->vm->lockstep || !v->xl.pext || !xl_window_possible() ||
        !atomic_compare_exchange_strong(&owner, &none, v))
        return;
    w = soft_pages_alloc(sizeof(*w));
    v->xl.place = soft_pages_alloc(XL_PLACES * sizeof(*v->xl.place));
    if (!w || !v->xl.place) {
        soft_pages_free(w, sizeof(*w));
        atomic_store(&owner, NULL);
        return;
    }
    xl_turn_init(&w->turn);
    w->cr3 = XL_NO_OWNER;
    forget(w);
    v->xl.window = w;
}

void xl_window_destroy(struct soft_vcpu *v)
{
    struct xl_window *w = v->xl.window;

    soft_pages_free(v->xl.place, XL_PLACES * sizeof(*v->xl.place));
    v->xl.place = NULL;
    if (!w)
        return;
    forget(w);
    forget_slots(w);
    soft_pages_free(w, sizeof(*w));
    v->xl.window = NULL;
    atomic_store(&owner, NULL);
}
