/* SPDX-License-Identifier: BSD-2-Clause */
/* The software engine's own structures: a VM, its memory slots, a vCPU and its decoded blocks.
 * Lock letters: (i) set at creation, (v) the vCPU's thread, (m) vm->lock, (c) vm->code_lock,
 * (a) atomic. Order: lock before code_lock before inbox_lock. */
#ifndef ENGINE_SOFT_SOFT_H
#define ENGINE_SOFT_SOFT_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/engine.h"
#include "engine/irqchip/irqchip.h"
#include "engine/soft/xl.h"
#include "isa/x86/cpu.h"
#include "isa/x86/insn.h"
#include "isa/x86/model.h"

enum { SOFT_SLOTS = 32, SOFT_MAX_VCPUS = 16, SOFT_MAX_CPUID = 100, SOFT_INBOX = 64 };

struct soft_slot {
    uint32_t id, flags;
    uint64_t gpa, len;
    uint8_t *host;
    /* One word a page: which of its 64-byte lines hold decoded code of any vCPU. Not zero: the page
     * is X86_RAM_CODE. (a) */
    _Atomic uint64_t *lines;
    _Atomic uint64_t *dirty; /* one bit a page, KVM_MEM_LOG_DIRTY_PAGES; else NULL (a) */
};

/* Never changed once published; replaced as a whole, freed when no vCPU can see it any more. */
struct soft_map {
    unsigned count;
    struct soft_slot slot[SOFT_SLOTS];
};

struct soft_vm {
    struct engine_vm base;
    pthread_mutex_t lock;
    struct soft_map *_Atomic map; /* replaced under (m) */
    struct irqchip *chip;         /* NULL: the caller emulates interrupt controllers (i) */
    bool pit;                     /* (m) */
    struct soft_vcpu *vcpu[SOFT_MAX_VCPUS]; /* (m) to add; never removed */
    _Atomic unsigned vcpus;
    pthread_mutex_t code_lock; /* code pages of all vCPUs and soft_slot.lines */
    int64_t clock_offset;      /* (m) KVM_SET_CLOCK */
    bool translate;            /* (i) */
    bool no_bmi2;              /* (i) */
    bool window, no_window;    /* (i) */
    bool lockstep;             /* (i) */
    uint32_t code_size;        /* (i) of translated code, for each vCPU */
    struct xl_perf *perf;      /* --perf-map, or NULL (i) */
};

/* ---- decoded blocks (block.c) ---- */

/* A cache line, and then its instructions. */
struct soft_block {
    const uint8_t *host; /* its first byte */
    struct soft_block *hash_next;
    uint8_t key, count;
    uint16_t bytes;
    uint8_t runs;     /* how often xl_run.c had it interpreted */
    bool native : 1;  /* has instructions that run on the host's vector or x87 unit */
    bool follows : 1; /* a struct soft_follow lies before it */
    uint8_t needs;    /* flags, see xl_flow.c; or 0: not known yet */
    /* One instruction that reaches into another page: bytes in the first page. Which the second is
     * depends on the address space, so a jump from within the first page alone does not lead here.
     */
    uint8_t crosses;
    struct soft_block *page_next;
    struct xl_block *xl;      /* translations that start with it and … */
    struct xl_part *xl_parts; /* … that go on into it, if made since the last flush of those */
    uint32_t xl_generation;
    uint32_t sum; /* of its bytes (lockstep) */
    /* If crosses, of the bytes in the second page: a block that stands for them there, of no
     * instructions; and the way back from that. */
    struct soft_block *other;
    struct x86_insn insn[];
};

/* What followed a block, for the emulator. */
struct soft_follow {
    uint32_t mode;       /* cpu->mode_key and … */
    uint64_t generation; /* … cpu->generation for which this holds */
    struct {
        uint64_t rip;
        struct soft_block *block;
    } next[2];
    uint64_t unused[2];
};

/* What one vCPU has decoded from one page. */
struct soft_codepage {
    const uint8_t *host;
    _Atomic uint64_t *shared; /* the slot's word */
    uint64_t lines;
    struct soft_block *blocks;
    struct soft_codepage *next;
    uint64_t last_hit; /* cache->built at the last store into its code */
    unsigned hits;     /* such stores in quick succession */
};

enum {
    SOFT_RECENT = 1 << 13,
    SOFT_BLOCK_HASH = 1 << 18,
    SOFT_PAGE_HASH = 1 << 13,
    SOFT_BLOCK_MAX = 32
};
enum { SOFT_CLOCK_BLOCKS = 256 }; /* between looks at the clock */

/* A small direct-mapped table before the big one. */
struct soft_recent {
    const uint8_t *host;
    struct soft_block *block;
};

struct soft_cache {
    uint8_t *arena;
    size_t used, size, present;   /* present: its pages exist so far */
    struct soft_block **hash;     /* (v) */
    struct soft_recent *recent;   /* (v) */
    struct soft_codepage **pages; /* (c) */
    uint64_t built;
};

/* ---- vCPU ---- */

/* Why a running vCPU must leave its blocks: bits of attention. */
enum {
    SOFT_KICK = 1,      /* run returns -EINTR */
    SOFT_IRQ = 2,       /* ask the interrupt controllers */
    SOFT_INBOX_BIT = 4, /* others changed code: inbox */
    SOFT_FLUSH = 8,     /* memory slots changed: drop TLB and blocks */
    SOFT_TLB = 16,      /* drop the TLB */
    SOFT_WINDOW = 32,   /* an interrupt pends that cannot be taken now */
    SOFT_NMI_WINDOW = 64
};

/* A change of code made elsewhere. */
struct soft_message {
    const uint8_t *host;
    uint32_t len; /* 0: the page became code, drop write access */
};

struct soft_stats {
    uint64_t steps, blocks_run, blocks_built, cache_flushes, invalidations, hot_steps;
    uint64_t interrupts, nmis, halts, ticks, exits[64];
    uint64_t insns_decoded, decode_tsc;
};

struct soft_vcpu {
    struct engine_vcpu base;
    struct soft_vm *vm; /* (i) */
    unsigned id;        /* (i) */
    _Atomic uint32_t attention;
    _Atomic uint32_t sleeping;   /* in futex wait on attention */
    _Atomic uint32_t running;    /* in run() */
    _Atomic uint64_t flushed;    /* times SOFT_FLUSH and SOFT_TLB were worked off */
    _Atomic uint64_t inbox_seen; /* times the inbox was */

    pthread_mutex_t inbox_lock;
    struct soft_message inbox[SOFT_INBOX];
    unsigned inbox_count;
    bool inbox_overflow;

    /* (v) from here */
    uint32_t mp_state;
    enum { SOFT_IO_NONE, SOFT_IO_PORT, SOFT_IO_MEMORY } io;
    int countdown;           /* blocks until the clock is looked at */
    uint64_t deadline_tsc;   /* host TSC at which the interrupt controllers have work */
    int injected;            /* KVM_INTERRUPT: vector, or -1 */
    bool nmi_pending;        /* KVM_NMI without interrupt controllers */
    uint64_t cr8, apic_base; /* without interrupt controllers */
    unsigned last_slot;
    struct kvm_guest_debug debug;
    struct x86_cpuid_entry cpuid[SOFT_MAX_CPUID];
    unsigned cpuid_count;
    struct soft_cache cache;
    struct soft_block *current; /* being executed */
    void *code_rw, *code_rx;
    struct soft_stats stat;
    struct x86_cpu cpu;
    bool xl_step;          /* the next instruction must fault: by the interpreter */
    struct lockstep *lock; /* --soft lockstep, or NULL */
    struct xl xl;          /* --soft translate */
};

static inline struct soft_vcpu *soft_vcpu_of(struct x86_cpu *cpu)
{
    return container_of(cpu, struct soft_vcpu, cpu);
}
/* Offset from gs of the current view's own part. */
#define XL_VIEW(field)                                                                             \
    ((int32_t)(ALIGN_UP(sizeof(struct soft_vcpu), 0x1000) - offsetof(struct soft_vcpu, cpu) +      \
               offsetof(struct xl_view, field)))
static inline struct soft_vm *soft_vm_of(struct engine_vm *vm) { return (struct soft_vm *)vm; }

/* Before anything that may use the host's vector or x87 registers, or looks at cpu->xsave. */
static inline void xl_fpu_put(struct soft_vcpu *v)
{
    if (v->xl.fpu_live)
        xl_fpu_put_slow(v);
}
/* Before generated code. */
static inline void xl_fpu_get(struct soft_vcpu *v)
{
    if (!v->xl.fpu_live)
        xl_fpu_get_slow(v);
}
/* The same, and cpu->xsave is about to be changed. */
static inline void xl_fpu_away(struct soft_vcpu *v)
{
    xl_fpu_put(v);
    v->xl.fpu_header = false;
}
/* Around what C function generated code calls. */
static inline void xl_c_begin(struct soft_vcpu *v)
{
    if (XL_FPU_EAGER)
        xl_fpu_put(v);
}
static inline void xl_c_end(struct soft_vcpu *v) { xl_fpu_get(v); }

/* ---- host.c: time, futex, memory ---- */
uint32_t soft_tsc_khz(void); /* of the host; measured once */
uint64_t soft_rdtsc(void);
uint64_t soft_tsc_to_ns(uint64_t tsc); /* CLOCK_MONOTONIC, by the TSC */
uint64_t soft_ns_to_tsc(uint64_t ns);
void soft_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_ns);
void soft_futex_wake(_Atomic uint32_t *word);
enum { SOFT_CODE_SIZE = 4 << 20 };
WARN_UNUSED int soft_code_alloc(void **rw, void **rx, size_t size);
void soft_code_free(void *rw, void *rx, size_t size);
/* Zeroed address space; pages come into being when touched. NULL if there is none. */
void *soft_pages_alloc(size_t size);
void soft_pages_free(void *p, size_t size);
/* Brings the pages behind *present into being, several at a time, so that [0, used) has them; up to
 * size. Cheaper than one by one as they are touched. */
void soft_pages_present(void *p, size_t *present, size_t used, size_t size);
void soft_code_present(void *rw, void *rx, size_t *present, size_t used, size_t size);

/* ---- memory.c ---- */
int soft_set_memory(struct engine_vm *, const struct kvm_userspace_memory_region *);
int soft_get_dirty_log(struct engine_vm *, struct kvm_dirty_log *);
void soft_memory_written(struct engine_vm *, uint64_t gpa, uint64_t len);
void soft_memory_destroy(struct soft_vm *);
uint8_t *soft_ram(struct x86_cpu *, uint64_t gpa, unsigned *props);
void soft_store_code(struct x86_cpu *, uint64_t gpa, unsigned len);
struct soft_slot *soft_slot_of_host(struct soft_vcpu *, const uint8_t *host);
/* Sets the attention bits at every vCPU (but self, may be NULL) and waits until each has seen them
 * or is out of run. */
void soft_sync(struct soft_vm *, struct soft_vcpu *self, uint32_t bits);

/* ---- block.c ---- */
WARN_UNUSED int soft_cache_init(struct soft_cache *, size_t size);
void soft_cache_destroy(struct soft_cache *);
/* The decoded block at cpu->rip, or NULL: x86_step() must do it. */
struct soft_block *soft_block_get(struct soft_vcpu *);
/* The decoded block at host, if there is one. */
struct soft_block *soft_block_at(struct soft_vcpu *, const uint8_t *host, unsigned key);
/* The decoded block right behind b in the same page, or NULL. Empties no cache. */
struct soft_block *soft_block_behind(struct soft_vcpu *, const struct soft_block *b);
/* Where a block is in its arena, and back. */
static inline uint32_t soft_block_offset(const struct soft_vcpu *v, const struct soft_block *b)
{
    return (uint32_t)((const uint8_t *)b - v->cache.arena);
}
static inline struct soft_block *soft_block_of(const struct soft_vcpu *v, uint32_t offset)
{
    return (struct soft_block *)(void *)(v->cache.arena + offset);
}
/* x86_next_fn: the block behind v->current. */
const struct x86_insn *soft_block_next(struct x86_cpu *, const struct x86_insn **end);
/* Drops what was decoded from [host, host + len), within one page, by this vCPU. */
void soft_cache_invalidate(struct soft_vcpu *, const uint8_t *host, unsigned len);
void soft_cache_flush(struct soft_vcpu *);
/* May change what the following instructions are decoded or checked by. */
static inline bool soft_ends_block(const struct x86_insn *insn)
{
    return (insn->flags & X86_INSN_ENDS_BLOCK) || insn->op == X86_OP_MOV_TO_SEG ||
           insn->op == X86_OP_POP_SEG || insn->op == X86_OP_LOAD_FAR_PTR;
}
/* The same range in the caches of all vCPUs but self (may be NULL). */
void soft_invalidate_others(struct soft_vm *, struct soft_vcpu *self, const uint8_t *host,
                            unsigned len);
void soft_inbox_work(struct soft_vcpu *);

/* ---- view.c ---- */
struct soft_vcpu *soft_vcpu_alloc(void); /* zeroed; NULL: no memory */
void soft_vcpu_free(struct soft_vcpu *);
/* Whether any decoded block of this vCPU overlaps the range, within one page. */
bool soft_cache_holds(struct soft_vcpu *, const uint8_t *host, unsigned len);

/* ---- lockstep.c ---- */
WARN_UNUSED int lockstep_init(struct soft_vcpu *);
void lockstep_destroy(struct soft_vcpu *);
enum x86_exit lockstep_run(struct soft_vcpu *, struct soft_block *b);
/* The vCPU is about to access what is not RAM. */
void lockstep_outside(struct soft_vcpu *);
/* How many instructions of the block under way lie from cpu->rip on. */
uint8_t lockstep_left(const struct soft_vcpu *);
/* The instruction must be a block of its own. */
bool lockstep_alone(const struct x86_insn *);
void lockstep_built(struct soft_block *, const uint8_t *bytes);
void lockstep_stats(const struct soft_vcpu *, uint64_t counter[3]);

/* ---- vcpu.c ---- */
int soft_create_vcpu(struct engine_vm *, unsigned id, struct engine_vcpu **out);
void soft_vcpu_destroy(struct soft_vcpu *);
int soft_run(struct engine_vcpu *);
void soft_kick(struct engine_vcpu *);
/* Any thread, async-signal-safe. */
void soft_attention(struct soft_vcpu *, uint32_t bits);

/* ---- soft.c ---- */
bool soft_translates(const struct engine_options *);

/* ---- describe.c ---- */
int soft_describe(const struct engine_options *, char *text, size_t size);
/* 0, or -errno and a line why the translator cannot run on this host. */
WARN_UNUSED int xl_refused(char *why, size_t size);

/* ---- stats.c ---- */
void soft_stats(struct engine_vm *, FILE *);

/* ---- state.c ---- */
int soft_set_cpuid2(struct engine_vcpu *, const struct kvm_cpuid2 *);
int soft_get_regs(struct engine_vcpu *, struct kvm_regs *);
int soft_set_regs(struct engine_vcpu *, const struct kvm_regs *);
int soft_get_sregs(struct engine_vcpu *, struct kvm_sregs *);
int soft_set_sregs(struct engine_vcpu *, const struct kvm_sregs *);
int soft_get_fpu(struct engine_vcpu *, struct kvm_fpu *);
int soft_set_fpu(struct engine_vcpu *, const struct kvm_fpu *);
int soft_get_xsave(struct engine_vcpu *, struct kvm_xsave *);
int soft_set_xsave(struct engine_vcpu *, const struct kvm_xsave *);
int soft_get_xcrs(struct engine_vcpu *, struct kvm_xcrs *);
int soft_set_xcrs(struct engine_vcpu *, const struct kvm_xcrs *);
int soft_get_msrs(struct engine_vcpu *, struct kvm_msrs *);
int soft_set_msrs(struct engine_vcpu *, const struct kvm_msrs *);
int soft_get_lapic(struct engine_vcpu *, struct kvm_lapic_state *);
int soft_set_lapic(struct engine_vcpu *, const struct kvm_lapic_state *);
int soft_get_mp_state(struct engine_vcpu *, struct kvm_mp_state *);
int soft_set_mp_state(struct engine_vcpu *, const struct kvm_mp_state *);
int soft_get_vcpu_events(struct engine_vcpu *, struct kvm_vcpu_events *);
int soft_set_vcpu_events(struct engine_vcpu *, const struct kvm_vcpu_events *);
int soft_get_debugregs(struct engine_vcpu *, struct kvm_debugregs *);
int soft_set_debugregs(struct engine_vcpu *, const struct kvm_debugregs *);
int soft_set_guest_debug(struct engine_vcpu *, const struct kvm_guest_debug *);
int soft_translate(struct engine_vcpu *, struct kvm_translation *);
int soft_interrupt(struct engine_vcpu *, const struct kvm_interrupt *);
int soft_nmi(struct engine_vcpu *);
int soft_set_tsc_khz(struct engine_vcpu *, uint32_t khz);
int soft_get_tsc_khz(struct engine_vcpu *);

#endif
