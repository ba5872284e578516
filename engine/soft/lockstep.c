/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * --soft lockstep: every block is done by the interpreter and by the translator, and both must have
 * done the same. The interpreter comes first, on a processor of its own whose stores are all
 * recorded and then taken back; the translator's run is the one that counts. Blocks are not linked,
 * so each comes back to C.
 *
 * What must be done only once (RDTSC, I/O registers of the processor, …), repeated string
 * instructions, which the two may cut into different pieces, what stores x87's pointers and some
 * more are blocks of their own: the first only the interpreter does. An access outside RAM ends the
 * interpreter's run; both states are compared when the translator comes to that access, which then
 * is carried out.
 */
#include <errno.h>
#include <string.h>

#include "engine/soft/lockstep.h"
#include "isa/x86/emu.h"
#include "isa/x86/native.h"

enum { LOG_SIZE = 1 << 20 /* stores of 8 bytes in one block */, NO_THROW = 0xff };

/* ---- the processor of the interpreter ---- */

static struct lockstep *lockstep_of(struct x86_cpu *cpu)
{
    return container_of(cpu, struct lockstep, ref);
}

/* Every page that may be written counts as code: then each store comes to ref_store first. */
static uint8_t *ref_ram(struct x86_cpu *cpu, uint64_t gpa, unsigned *props)
{
    uint8_t *p = soft_ram(&lockstep_of(cpu)->v->cpu, gpa, props);

    if (p && (*props & X86_RAM_WRITABLE))
        *props |= X86_RAM_CODE;
    return p;
}

static void ref_store(struct x86_cpu *cpu, uint64_t gpa, unsigned len)
{
    struct lockstep *l = lockstep_of(cpu);
    unsigned props;
    uint8_t *p = soft_ram(&l->v->cpu, gpa & ~0xfffull, &props);

    if (!p)
        return;
    p += gpa & 0xfff;
    if (soft_cache_holds(l->v, p, len))
        cpu->stop = 1;
    for (unsigned n; len; p += n, gpa += n, len -= n) {
        n = MIN(len, 8u);
        if (l->stores == LOG_SIZE) {
            l->overflow = true;
            x86_throw(cpu, X86_EXIT_ERROR);
        }
        struct lockstep_store *s = &l->store[l->stores++];
        s->host = p;
        s->gpa = gpa;
        s->len = (uint8_t)n;
        s->walk = cpu->walking;
        memcpy(s->before, p, n);
    }
}

static bool ref_outside(struct x86_cpu *cpu, uint64_t gpa, void *data, unsigned len, bool write)
{
    (void)gpa;
    (void)data;
    (void)len;
    (void)write;
    lockstep_of(cpu)->outside = true;
    return false;
}

static bool ref_port(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool write)
{
    return ref_outside(cpu, port, data, len, write);
}

static uint64_t ref_tsc(struct x86_cpu *cpu)
{
    (void)cpu;
    return soft_rdtsc();
}

/* CPUID asks for the APIC base. */
static int ref_rdmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t *val)
{
    struct x86_cpu *other = &lockstep_of(cpu)->v->cpu;

    return other->env->apic_rdmsr(other, msr, val);
}

static int ref_wrmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t val)
{
    (void)cpu;
    (void)msr;
    (void)val;
    return -1;
}

static uint64_t ref_cr8(struct x86_cpu *cpu)
{
    (void)cpu;
    return 0;
}

static void ref_set_cr8(struct x86_cpu *cpu, uint64_t val)
{
    (void)cpu;
    (void)val;
}

static void ref_cpuid(struct x86_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    struct soft_vcpu *v = lockstep_of(cpu)->v;

    x86_model_lookup(v->cpuid, v->cpuid_count, cpu, leaf, subleaf, out);
}

static const struct x86_env ref_env = {
    .ram = ref_ram,
    .store_code = ref_store,
    .mmio = ref_outside,
    .pio = ref_port,
    .host_tsc = ref_tsc,
    .apic_rdmsr = ref_rdmsr,
    .apic_wrmsr = ref_wrmsr,
    .cr8_read = ref_cr8,
    .cr8_write = ref_set_cr8,
    .cpuid = ref_cpuid,
};

/* ---- blocks ---- */

static bool once(const struct x86_insn *i)
{
    switch (i->op) {
    case X86_OP_RDTSC:
    case X86_OP_RDTSCP:
    case X86_OP_RDPMC:
    case X86_OP_RDRAND:
    case X86_OP_RDSEED:
    case X86_OP_RDMSR:
    case X86_OP_WRMSR: return true;
    case X86_OP_MOV_FROM_CR: return i->operand[1].reg == 8;
    case X86_OP_MOV_TO_CR: return i->operand[0].reg == 8;
    default: return false;
    }
}

static bool repeated(const struct x86_insn *i)
{
    switch (i->op) {
    case X86_OP_MOVS:
    case X86_OP_CMPS:
    case X86_OP_STOS:
    case X86_OP_LODS:
    case X86_OP_SCAS:
    case X86_OP_INS:
    case X86_OP_OUTS: return i->rep;
    default: return false;
    }
}

/* With x87's last instruction and data pointer in it, which the two have differently after x87 code
 * (xl_fpu.c). At the start of a block they are made equal. */
static bool saves_x87(const struct x86_insn *i)
{
    switch (i->op) {
    case X86_OP_FPU_ENV:
    case X86_OP_FXSAVE:
    case X86_OP_XSAVE:
    case X86_OP_XSAVEOPT:
    case X86_OP_XSAVEC:
    case X86_OP_XSAVES: return true;
    default: return false;
    }
}

/* Taken or not, it goes on at the same address: that tells ref_next() nothing, and the translator's
 * block ends there if it is taken. */
static bool leads_behind(const struct x86_insn *i) { return i->op == X86_OP_JCC && !i->imm; }

bool lockstep_alone(const struct x86_insn *i)
{
    return once(i) || repeated(i) || saves_x87(i) || leads_behind(i) || xl_changes_masks(i) ||
           i->op == X86_OP_STI;
}

static uint32_t sum_of(const uint8_t *p, unsigned n)
{
    uint64_t h = n;

    for (; n >= 8; n -= 8, p += 8)
        h = (h ^ le64(p)) * 0x9e3779b97f4a7c15u;
    while (n--)
        h = (h ^ *p++) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h ^ h >> 32);
}

void lockstep_built(struct soft_block *b, const uint8_t *bytes)
{
    b->sum = sum_of(bytes, b->bytes);
}

/* ---- two states ---- */

/* All of the architecture up to the I/O log; what lies behind is not the same in both. */
static void equalize(struct lockstep *l)
{
    struct x86_cpu *cpu = &l->v->cpu, *ref = &l->ref;

    xl_fpu_put(l->v);
    memcpy(ref, cpu, offsetof(struct x86_cpu, io));
    memcpy(ref->xsave, cpu->xsave, l->xsave_size);
    ref->align_check = cpu->align_check;
    ref->replay.count = ref->replay.next = 0;
    x86_tlb_flush(ref);
    l->generation = cpu->generation + cpu->invalidations;
}

/* Flags in front of instruction n that nobody reads any more: the translator may have used them
 * up. */
static uint64_t dead_flags(const struct lockstep *l, unsigned n)
{
    uint32_t need = X86_AFLAGS;

    if (l->v->xl.exact)
        return 0;
    for (unsigned i = l->count; i-- > n;) {
        if (l->insn[i]->op == X86_OP_JCC) /* the other way may need all of them */
            need = X86_AFLAGS;
        need = x86_flags_before(l->insn[i], need);
    }
    return X86_AFLAGS & ~(uint64_t)need;
}

static unsigned index_of(const struct lockstep *l, uint64_t rip)
{
    unsigned n = 0;

    for (uint64_t at = l->start.rip; n < l->count && at != rip; n++)
        at += l->insn[n]->len;
    return n;
}

uint8_t lockstep_left(const struct soft_vcpu *v)
{
    return (uint8_t)MAX(v->lock->count - index_of(v->lock, v->cpu.rip), 1u);
}

/* ---- one block ---- */

/* More than general registers, flags and memory. */
static bool changes_more(const struct x86_insn *i)
{
    return (i->op >= X86_OP_CLI && i->op < X86_OP_FPU) || i->op == X86_OP_POP_SEG ||
           i->op == X86_OP_JMP_FAR || i->op == X86_OP_CALL_FAR || i->op == X86_OP_RET_FAR;
}

/* False: the code has changed unnoticed. */
static bool take_block(struct lockstep *l, struct soft_block *b)
{
    struct soft_vcpu *v = l->v;
    memcpy(&l->start, v->cpu.reg, sizeof(v->cpu.reg));
    l->start.rflags = v->cpu.rflags;
    l->block = b;
    l->count = xl_insns(v, b, l->insn);
    l->bytes = 0;
    l->vector = l->system = false;
    for (unsigned i = 0; i < l->count; i++) {
        const struct x86_insn *in = l->insn[i];
        l->bytes += in->len;
        l->vector |= in->op >= X86_OP_FPU;
        l->system |= changes_more(in);
    }
    l->mode = l->insn[0]->mode;
    l->is_repeated = repeated(l->insn[0]);
    memcpy(l->code, b->host, b->crosses ? b->crosses : l->bytes);
    if (b->crosses)
        memcpy(l->code + b->crosses, b->other->host, l->bytes - b->crosses);
    if (l->vector)
        xl_fpu_put(v);
    for (unsigned n = 0; b && !b->crosses && n < l->count;
         n += b->count, b = soft_block_behind(v, b))
        if (sum_of(b->host, b->bytes) != b->sum)
            return false;
    return true;
}

/* x86_next_fn: the rest of the block, as far as no jump leaves it. */
static const struct x86_insn *ref_next(struct x86_cpu *cpu, const struct x86_insn **end)
{
    struct lockstep *l = lockstep_of(cpu);
    unsigned i = l->next;

    l->next_rip = l->start.rip;
    for (unsigned k = 0; k < i; k++)
        l->next_rip += l->insn[k]->len;
    if (i == l->count || cpu->rip != l->next_rip)
        return NULL;
    while (++l->next < l->count && l->insn[l->next] == l->insn[l->next - 1] + 1)
        ;
    *end = l->insn[i] + (l->next - i);
    return l->insn[i];
}

static enum x86_exit run_ref(struct lockstep *l)
{
    enum x86_exit exit;

    l->stores = 0;
    l->overflow = l->outside = false;
    do {
        const struct x86_insn *first, *end;
        uint64_t insns = l->ref.insns;
        l->next = 0;
        l->ref.thrown = NO_THROW;
        first = ref_next(&l->ref, &end);
        exit = x86_run_blocks(&l->ref, first, end, ref_next);
        l->done = (unsigned)(l->ref.insns - insns); /* of those completed */
        l->threw = l->ref.thrown != NO_THROW;
    } while (exit == X86_EXIT_NONE && l->ref.rip == l->start.rip && l->is_repeated);
    return exit;
}

static void take_back(struct lockstep *l)
{
    for (unsigned i = 0; i < l->stores; i++)
        memcpy(l->store[i].after, l->store[i].host, l->store[i].len);
    for (unsigned i = l->stores; i-- > 0;)
        memcpy(l->store[i].host, l->store[i].before, l->store[i].len);
}

static enum x86_exit run_translated(struct lockstep *l, struct soft_block *b)
{
    struct soft_vcpu *v = l->v;
    enum x86_exit exit;

    do {
        exit = xl_enter(v, b);
        if (exit == X86_EXIT_NONE && v->xl_step) {
            v->xl_step = false;
            exit = x86_step(&v->cpu);
        }
        if (exit != X86_EXIT_NONE || v->cpu.rip != l->start.rip || !l->is_repeated)
            break;
        b = soft_block_get(v); /* it may have overwritten itself */
    } while (b);
    return exit;
}

void lockstep_outside(struct soft_vcpu *v)
{
    struct lockstep *l = v->lock;

    if (!l->active || l->met)
        return;
    l->met = true;
    if (!l->outside) {
        lockstep_report(l, "an access outside RAM that the emulator does not do");
        return;
    }
    const uint64_t behind = v->cpu.rip;
    v->cpu.rip = v->cpu.insn_rip;
    lockstep_compare(l, dead_flags(l, index_of(l, l->ref.rip)), false);
    v->cpu.rip = behind;
}

static enum x86_exit failed(struct lockstep *l)
{
    l->v->cpu.error = "lockstep: the translator and the emulator differ";
    return X86_EXIT_ERROR;
}

/* Flags that may differ behind the block. */
static uint64_t dead_behind(const struct lockstep *l)
{
    if (l->threw)
        return dead_flags(l, index_of(l, l->ref.insn_rip));
    if (l->done == l->count || l->insn[l->done - 1]->op == X86_OP_JCC)
        return 0;
    return dead_flags(l, l->done);
}

static enum x86_exit both(struct lockstep *l, struct soft_block *b)
{
    struct soft_vcpu *v = l->v;
    enum x86_exit r, t;
    uint64_t dead;

    l->blocks++;
    if (!take_block(l, b)) {
        lockstep_report(l, "the code changed, but its block was not dropped");
        return failed(l);
    }
    if (l->generation != v->cpu.generation + v->cpu.invalidations) {
        x86_tlb_flush(&l->ref);
        l->generation = v->cpu.generation + v->cpu.invalidations;
    }
    r = run_ref(l);
    take_back(l);
    /* The translator does without a shadow if nothing pends. */
    if (l->insn[0]->op == X86_OP_STI)
        l->ref.shadow &= (uint8_t)~X86_SHADOW_STI;
    dead = dead_behind(l);

    l->met = false;
    l->active = true;
    t = run_translated(l, b);
    l->active = false;
    if (l->insn[0]->op == X86_OP_STI)
        l->ref.shadow |= v->cpu.shadow & X86_SHADOW_STI;
    if (l->failed)
        return failed(l);
    if (l->outside && !l->met)
        lockstep_report(l, "the emulator does an access outside RAM, the translator none");
    else if (l->outside || l->overflow)
        l->partial++;
    else if (r != t)
        lockstep_report(l, "the two ended for different reasons");
    else
        lockstep_compare(l, dead, l->threw);
    if (l->failed)
        return failed(l);
    if (l->outside || l->overflow)
        equalize(l);
    /* What is not compared. */
    l->ref.rflags = v->cpu.rflags;
    if (l->vector)
        memcpy(l->ref.xsave + 5, v->cpu.xsave + 5, 19);
    return t;
}

static const struct x86_insn *no_next(struct x86_cpu *cpu, const struct x86_insn **end)
{
    (void)cpu;
    (void)end;
    return NULL;
}

static bool must_attend(struct soft_vcpu *v)
{
    uint32_t a = atomic_load_explicit(&v->attention, memory_order_relaxed);

    return a && (a != SOFT_WINDOW || x86_interrupt_ok(&v->cpu));
}

enum x86_exit lockstep_run(struct soft_vcpu *v, struct soft_block *b)
{
    struct lockstep *l = v->lock;
    struct x86_cpu *cpu = &v->cpu;
    enum x86_exit exit;

    if (!xl_ready(v))
        return X86_EXIT_NONE;
    equalize(l);
    do {
        if (once(&b->insn[0])) {
            xl_fpu_away(v);
            exit = x86_run_blocks(cpu, b->insn, b->insn + b->count, no_next);
            l->alone++;
            equalize(l);
        } else {
            exit = both(l, b);
        }
        if (exit != X86_EXIT_NONE || must_attend(v) || cpu->shadow || cpu->exc_pending ||
            cpu->debugging || !xl_usable(cpu))
            return exit;
        b = soft_block_get(v);
        cpu->stop = 0;
    } while (b);
    return X86_EXIT_NONE;
}

void lockstep_stats(const struct soft_vcpu *v, uint64_t counter[3])
{
    counter[0] = v->lock->blocks;
    counter[1] = v->lock->partial;
    counter[2] = v->lock->alone;
}

/* ---- life ---- */

int lockstep_init(struct soft_vcpu *v)
{
    struct lockstep *l = soft_pages_alloc(sizeof(*l));

    if (!l)
        return -ENOMEM;
    v->lock = l;
    l->v = v;
    v->xl.cold_runs = 0;
    v->xl.peek = false; /* flags are compared at the end of each block */
    l->store = soft_pages_alloc(LOG_SIZE * sizeof(*l->store));
    l->native = soft_pages_alloc(x86_native_size());
    if (!l->store || !l->native || soft_code_alloc(&l->code_rw, &l->code_rx, SOFT_CODE_SIZE))
        return -ENOMEM;
    x86_native_init(l->native, l->code_rw, l->code_rx, SOFT_CODE_SIZE);
    l->xsave_size = x86_native_xsave_size(x86_native_xcr0());
    l->ref.env = &ref_env;
    l->ref.native = l->native;
    x86_reset(&l->ref);
    return 0;
}

void lockstep_destroy(struct soft_vcpu *v)
{
    struct lockstep *l = v->lock;

    if (!l)
        return;
    soft_pages_free(l->store, LOG_SIZE * sizeof(*l->store));
    soft_pages_free(l->native, x86_native_size());
    soft_code_free(l->code_rw, l->code_rx, SOFT_CODE_SIZE);
    soft_pages_free(l, sizeof(*l));
}
