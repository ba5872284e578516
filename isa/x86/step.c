/* SPDX-License-Identifier: BSD-2-Clause */
/* Running: the loop that executes decoded instructions, what is thrown out of it, delivery of
 * exceptions with double and triple fault, breakpoints, single-step. [SDM] 3A "Interrupt and
 * Exception Handling", 3B "Debug". */
#include "isa/x86/emu.h"

#define DR6_BS     BIT(14)
#define DR6_LOW    (BITS(3, 0) | DR6_BS | BIT(13) | BIT(15))
#define DR6_ONES   0xffff0ff0ull
#define DR7_GD     BIT(13)
#define DR7_ACTIVE 0xffu

/* ---- throw ---- */

_Noreturn void x86_throw(struct x86_cpu *cpu, enum x86_exit exit)
{
    cpu->thrown = (uint8_t)exit;
    __builtin_longjmp(cpu->jmp, 1);
}

static _Noreturn void raise(struct x86_cpu *cpu, unsigned vector, bool has_error, uint32_t error,
                            uint64_t payload)
{
    cpu->exc = (struct x86_exception){
        .vector = (uint8_t)vector, .has_error = has_error, .error = error, .payload = payload
    };
    x86_throw(cpu, X86_EXIT_NONE);
}

_Noreturn void x86_fault(struct x86_cpu *cpu, unsigned vector) { raise(cpu, vector, false, 0, 0); }

_Noreturn void x86_fault_code(struct x86_cpu *cpu, unsigned vector, uint32_t error)
{
    raise(cpu, vector, true, error, 0);
}

_Noreturn void x86_page_fault(struct x86_cpu *cpu, uint64_t lin, uint32_t error)
{
    cpu->tlb_stats.fault++;
    raise(cpu, X86_PFV, true, error, lin);
}

_Noreturn void x86_error(struct x86_cpu *cpu, const char *what)
{
    cpu->error = what;
    x86_throw(cpu, X86_EXIT_ERROR);
}

/* ---- delivery ---- */

/* [SDM] 3A "Interrupt 8: Double Fault Exception": what a second exception becomes. */
enum exc_class { BENIGN, CONTRIBUTORY, PAGE_FAULT, DOUBLE_FAULT };

static enum exc_class exception_class(const struct x86_exception *e)
{
    if (e->external)
        return BENIGN;
    switch (e->vector) {
    case X86_DE:
    case X86_TS:
    case X86_NP:
    case X86_SS_VEC:
    case X86_GP: return CONTRIBUTORY;
    case X86_PFV: return PAGE_FAULT;
    case X86_DF_VEC: return DOUBLE_FAULT;
    default: return BENIGN;
    }
}

/* Faults (not traps, aborts) push RF set, but not an instruction breakpoint. [SDM] 3B "Debug
 * Exceptions" */
static bool sets_rf(const struct x86_exception *e)
{
    return !e->external && e->vector != X86_DB && e->vector != X86_NMI && e->vector != X86_BP &&
           e->vector != X86_OFV && e->vector != X86_DF_VEC && e->vector != X86_MC;
}

/* Delivers cpu->exc. True if done; else what was thrown: cpu->thrown. */
static __attribute__((noinline)) bool deliver_once(struct x86_cpu *cpu)
{
    if (__builtin_setjmp(cpu->jmp))
        return false;

    const struct x86_exception e = cpu->exc;
    if (!e.external) {
        if (e.vector == X86_PFV)
            cpu->cr2 = e.payload;
        if (e.vector == X86_DB) {
            cpu->dr[6] = (cpu->dr[6] & ~0xfull) | e.payload | DR6_ONES;
            cpu->dr[7] &= ~DR7_GD;
        }
        if (sets_rf(&e))
            cpu->rflags |= X86_RF;
    }
    x86_deliver(cpu, e.vector, e.external ? X86_INTR_EXTERNAL : X86_INTR_EXCEPTION, e.has_error,
                e.error);
    return true;
}

/* Delivers cpu->exc and what its delivery raises; rip is what is to be pushed. */
static enum x86_exit deliver(struct x86_cpu *cpu)
{
    cpu->shadow = 0;
    cpu->exc_pending = false;
    cpu->replay.next = 0;
    for (;;) {
        struct x86_exception first = cpu->exc;
        enum exc_class a = exception_class(&first), b;

        if (deliver_once(cpu)) {
            cpu->replay.count = cpu->replay.next = 0;
            return X86_EXIT_NONE;
        }
        if (cpu->thrown != X86_EXIT_NONE) { /* I/O by the delivery: it is done again afterwards */
            cpu->exc = first;
            cpu->exc_pending = true;
            return cpu->thrown;
        }
        cpu->replay.count = cpu->replay.next = 0;
        b = exception_class(&cpu->exc);
        if (a == DOUBLE_FAULT && b != BENIGN)
            return X86_EXIT_SHUTDOWN;
        if ((a == CONTRIBUTORY && b == CONTRIBUTORY) ||
            (a == PAGE_FAULT && (b == CONTRIBUTORY || b == PAGE_FAULT)))
            cpu->exc = (struct x86_exception){ .vector = X86_DF_VEC, .has_error = true };
    }
}

/* A fault of the instruction at insn_rip. */
static enum x86_exit deliver_fault(struct x86_cpu *cpu)
{
    cpu->rip = cpu->insn_rip;
    cpu->replay.count = cpu->replay.next = 0;
    return deliver(cpu);
}

/* ---- the loop ---- */

/* Never inlined into what calls setjmp, so that the compiler may keep everything in registers. */
static __attribute__((noinline)) enum x86_exit loop(struct x86_cpu *cpu,
                                                    const struct x86_insn *insn, unsigned count,
                                                    unsigned *done)
{
    const struct x86_insn *first = insn, *end = insn + count;

    do {
        uint64_t rip = cpu->rip;
        cpu->insn_rip = rip;
        cpu->rip = rip + insn->len;
        insn->exec(cpu, insn);
        insn++;
    } while (likely(!cpu->stop) && insn < end);
    *done = (unsigned)(insn - first);
    return X86_EXIT_NONE;
}

enum x86_exit x86_run(struct x86_cpu *cpu, const struct x86_insn *insn, unsigned count,
                      unsigned *done)
{
    const uint64_t start = cpu->rip;
    const uint8_t shadow = cpu->shadow;

    *done = 0;
    if (unlikely(cpu->exc_pending))
        return deliver(cpu);
    if (unlikely(count == 0))
        return X86_EXIT_NONE;
    cpu->stop = 0;
    cpu->shadow = 0;
    cpu->replay.next = 0;
    cpu->rflags &= ~X86_RF;
    if (!__builtin_setjmp(cpu->jmp)) {
        enum x86_exit exit = loop(cpu, insn, count, done);
        cpu->replay.count = 0;
        return exit;
    }

    /* They lay one behind another, so the address tells how many were done. */
    unsigned n = 0;
    for (uint64_t at = start; n < count && at != cpu->insn_rip; n++)
        at += insn[n].len;
    *done = n;
    if (cpu->thrown == X86_EXIT_NONE)
        return deliver_fault(cpu);
    if (cpu->thrown == X86_EXIT_HLT) {
        *done = n + 1;
        cpu->replay.count = 0;
        return X86_EXIT_HLT;
    }
    cpu->rip = cpu->insn_rip;
    if (!n)
        cpu->shadow = shadow;
    return cpu->thrown;
}

/* Blocks in a row. Not inlined for the same reason as above. */
static __attribute__((noinline)) void loop_blocks(struct x86_cpu *cpu, const struct x86_insn *insn,
                                                  const struct x86_insn *end, x86_next_fn *next)
{
    while (insn) {
        const struct x86_insn *first = insn;
        do {
            uint64_t rip = cpu->rip;
            cpu->insn_rip = rip;
            cpu->rip = rip + insn->len;
            insn->exec(cpu, insn);
            insn++;
        } while (likely(!cpu->stop) && insn < end);
        cpu->insns += (uint64_t)(insn - first);
        if (cpu->stop)
            return;
        insn = next(cpu, &end);
    }
}

enum x86_exit x86_run_blocks(struct x86_cpu *cpu, const struct x86_insn *insn,
                             const struct x86_insn *end, x86_next_fn *next)
{
    cpu->stop = 0;
    cpu->replay.next = 0;
    cpu->rflags &= ~X86_RF;
    if (!__builtin_setjmp(cpu->jmp)) {
        loop_blocks(cpu, insn, end, next);
        cpu->replay.count = 0;
        return X86_EXIT_NONE;
    }
    if (cpu->thrown == X86_EXIT_NONE)
        return deliver_fault(cpu);
    if (cpu->thrown == X86_EXIT_HLT)
        cpu->replay.count = 0;
    else
        cpu->rip = cpu->insn_rip;
    return cpu->thrown;
}

/* One instruction. True if done, else what was thrown: cpu->thrown. */
static __attribute__((noinline)) bool execute(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (__builtin_setjmp(cpu->jmp))
        return false;
    insn->exec(cpu, insn);
    return true;
}

bool x86_try(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    void *outer[ARRAY_LEN(cpu->jmp)];
    enum x86_exit exit = X86_EXIT_NONE;
    bool done;

    __builtin_memcpy(outer, cpu->jmp, sizeof(outer));
    done = execute(cpu, insn);
    if (!done)
        exit = cpu->thrown == X86_EXIT_NONE ? deliver_fault(cpu) : cpu->thrown;
    __builtin_memcpy(cpu->jmp, outer, sizeof(outer));
    if (exit != X86_EXIT_NONE)
        x86_throw(cpu, exit);
    return done;
}

static enum x86_exit debug_exit(struct x86_cpu *cpu, uint64_t dr6)
{
    cpu->dbg.vector = X86_DB;
    cpu->dbg.dr6 = dr6 | DR6_ONES;
    cpu->dbg.pc = cpu->seg[X86_CS].base + cpu->rip;
    return X86_EXIT_DEBUG;
}

/* Which of four instruction breakpoints match lin. */
static unsigned code_breaks(const uint64_t dr[4], uint64_t dr7, uint64_t lin)
{
    unsigned hit = 0;

    for (unsigned i = 0; i < 4; i++)
        if ((dr7 >> (2 * i) & 3) && !(dr7 >> (16 + 4 * i) & 3) && dr[i] == lin)
            hit |= 1u << i;
    return hit;
}

static enum x86_exit raise_db(struct x86_cpu *cpu, uint64_t dr6)
{
    cpu->exc = (struct x86_exception){ .vector = X86_DB, .payload = dr6 };
    return deliver(cpu);
}

/* Instructions that enter a handler have cleared TF with no trap left over. */
static bool swallows_step(const struct x86_insn *insn)
{
    switch (insn->op) {
    case X86_OP_INT:
    case X86_OP_INT1:
    case X86_OP_INT3:
    case X86_OP_INTO:
    case X86_OP_SYSCALL: return true;
    default: return false;
    }
}

/* Instruction breakpoints at rip. True if *exit is to be returned. */
static bool breakpoint(struct x86_cpu *cpu, enum x86_exit *exit)
{
    uint64_t lin = cpu->seg[X86_CS].base + cpu->rip;
    unsigned hit;

    if (cpu->code == 8)
        lin = cpu->rip;
    if (cpu->dbg.hw_break && (hit = code_breaks(cpu->dbg.dr, cpu->dbg.dr7, lin))) {
        *exit = debug_exit(cpu, hit);
        return true;
    }
    if ((cpu->dr[7] & DR7_ACTIVE) && (hit = code_breaks(cpu->dr, cpu->dr[7], lin))) {
        *exit = raise_db(cpu, hit);
        return true;
    }
    return false;
}

/* Traps behind a completed instruction: single-step and data breakpoints, the guest's and the
 * debugger's. */
static enum x86_exit traps(struct x86_cpu *cpu, bool step)
{
    enum x86_exit exit = X86_EXIT_NONE;
    unsigned hit = cpu->watch_hit;

    if (cpu->shadow & X86_SHADOW_SS) /* held over the next instruction; a step is lost */
        return cpu->dbg.step ? debug_exit(cpu, DR6_BS) : X86_EXIT_NONE;
    cpu->watch_hit = 0;
    if (step || (hit & 0xf))
        exit = raise_db(cpu, (step ? DR6_BS : 0) | (hit & 0xf));
    if (exit == X86_EXIT_NONE && (cpu->dbg.step || hit >> 4))
        return debug_exit(cpu, (cpu->dbg.step ? DR6_BS : 0) | hit >> 4);
    return exit;
}

static enum x86_exit after_delivery(struct x86_cpu *cpu, enum x86_exit exit)
{
    return exit == X86_EXIT_NONE && cpu->dbg.step ? debug_exit(cpu, DR6_BS) : exit;
}

enum x86_exit x86_step(struct x86_cpu *cpu)
{
    struct x86_insn insn;
    enum x86_exit exit;

    if (cpu->exc_pending)
        return after_delivery(cpu, deliver(cpu));
    if (unlikely(cpu->debugging) && !(cpu->rflags & X86_RF) && !(cpu->shadow & X86_SHADOW_SS) &&
        !cpu->replay.count && breakpoint(cpu, &exit))
        return exit;

    cpu->insn_rip = cpu->rip;
    if (!x86_fetch(cpu, &insn, NULL))
        return after_delivery(cpu, deliver_fault(cpu));
    x86_bind(&insn);

    const uint8_t shadow = cpu->shadow;
    const uint64_t rf = cpu->rflags & X86_RF;
    const bool step = (cpu->rflags & X86_TF) && !swallows_step(&insn);
    if (!(shadow & X86_SHADOW_SS))
        cpu->watch_hit = 0;
    cpu->stop = 0;
    cpu->shadow = 0;
    cpu->replay.next = 0;
    cpu->rflags &= ~X86_RF;
    cpu->insn_rip = cpu->rip;
    cpu->rip += insn.len;
    exit = X86_EXIT_NONE;
    if (insn.op >= X86_OP_FPU && cpu->env->fpu_needed)
        cpu->env->fpu_needed(cpu);
    if (!execute(cpu, &insn)) {
        exit = cpu->thrown;
        if (exit == X86_EXIT_NONE)
            return after_delivery(cpu, deliver_fault(cpu));
        if (exit != X86_EXIT_HLT) {
            cpu->rip = cpu->insn_rip;
            cpu->shadow = shadow;
            cpu->rflags |= rf;
            return exit;
        }
    }
    cpu->replay.count = cpu->replay.next = 0;
    if (exit == X86_EXIT_HLT || likely(!step && !cpu->watch_hit && !cpu->dbg.step))
        return exit;
    return traps(cpu, step);
}

/* ---- from outside ---- */

bool x86_interrupt_ok(const struct x86_cpu *cpu)
{
    return (cpu->rflags & X86_IF) && !cpu->shadow && !cpu->exc_pending && !cpu->replay.count;
}

bool x86_nmi_ok(const struct x86_cpu *cpu)
{
    return !cpu->nmi_blocked && !cpu->shadow && !cpu->exc_pending && !cpu->replay.count;
}

enum x86_exit x86_interrupt(struct x86_cpu *cpu, uint8_t vector)
{
    cpu->exc = (struct x86_exception){ .vector = vector, .external = true };
    return deliver(cpu);
}

enum x86_exit x86_nmi(struct x86_cpu *cpu)
{
    cpu->nmi_blocked = 1;
    cpu->exc = (struct x86_exception){ .vector = X86_NMI, .external = true };
    return deliver(cpu);
}

void x86_queue_exception(struct x86_cpu *cpu, const struct x86_exception *exc)
{
    cpu->exc = *exc;
    cpu->exc_pending = true;
}
