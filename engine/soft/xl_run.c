/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator at run time: entering code, what it calls, and the clock that interrupts it. */
#include <asm/prctl.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <ucontext.h>
#include <unistd.h>

#include "engine/soft/soft.h"
#include "isa/x86/emu.h"

/* ---- state that generated code keeps in its own way ---- */

static void flags_in(struct soft_vcpu *v)
{
    const unsigned ah = v->xl.flags >> 8, al = v->xl.flags & 0xff;

    v->cpu.rflags = (v->cpu.rflags & ~(uint64_t)X86_AFLAGS) |
                    (ah & (X86_CF | X86_PF | X86_AF | X86_ZF | X86_SF)) | (al ? X86_OF : 0);
}

static void flags_out(struct soft_vcpu *v)
{
    v->xl.flags = (uint16_t)((v->cpu.rflags & 0xff) << 8 | ((v->cpu.rflags & X86_OF) != 0));
}

static bool must_leave(struct soft_vcpu *v)
{
    const uint32_t window = SOFT_WINDOW | SOFT_NMI_WINDOW;

    if (v->cpu.stop | v->cpu.shadow | v->cpu.exc_pending)
        return true;
    return !v->lock && /* there each block is done to its end */
           (atomic_load_explicit(&v->attention, memory_order_relaxed) & ~window);
}

static bool calm(struct soft_vcpu *v)
{
    return !atomic_load_explicit(&v->attention, memory_order_relaxed) && !v->cpu.debugging &&
           xl_usable(&v->cpu);
}

/* An exception has been delivered: generated code goes on with its handler, if nothing pends. */
static enum xl_after faulted(struct soft_vcpu *v, const struct x86_insn *insn, unsigned code)
{
    flags_out(v);
    if (!calm(v))
        return XL_LEAVE;
    v->cpu.stop = 0;
    xl_c_end(v);
    /* Between rings of 64-bit code the salts stay. */
    if (code != 8 || v->cpu.code != 8 || insn->op >= X86_OP_FPU)
        xl_set_salt(v);
    return XL_ELSEWHERE;
}

static enum xl_after work(struct soft_vcpu *v, const struct x86_insn *insn, uint64_t rip)
{
    struct x86_cpu *cpu = &v->cpu;
    const unsigned code = cpu->code;

    xl_c_begin(v);
    if (insn->op >= X86_OP_FPU)
        xl_fpu_before(v, insn);
    flags_in(v);
    v->xl.emulated++;
    v->xl.emulated_op[insn->op]++;
    cpu->insn_rip = rip;
    cpu->rip = rip + insn->len;
    if (v->lock)
        insn->exec(cpu, insn);
    else if (!x86_try(cpu, insn))
        return faulted(v, insn, code);
    flags_out(v);
    if (must_leave(v))
        return XL_LEAVE;
    xl_c_end(v);
    return XL_STAY;
}

/* The few that C does with the registers where they are. True if done. */
static bool native(struct soft_vcpu *v, const struct x86_insn *insn, uint64_t rip)
{
    bool done;

    if (insn->op < X86_OP_FPU)
        return false;
    xl_c_begin(v);
    done = xl_xsave(v, insn);
    xl_c_end(v);
    if (done)
        v->cpu.rip = rip + insn->len;
    return done;
}

static int emulate(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t rip)
{
    if (native(soft_vcpu_of(cpu), insn, rip))
        return XL_STAY;
    enum xl_after r = work(soft_vcpu_of(cpu), insn, rip);
    return r == XL_STAY && cpu->rip != rip + insn->len ? XL_LEAVE : r;
}

/* What ends a block may have changed the mode, or made an interrupt possible; code is found anew by
 * the jump cache, so cpu->stop alone is no reason to leave. */
static int emulate_last(struct x86_cpu *cpu, const struct x86_insn *insn, uint64_t rip)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    cpu->stop = 0;
    if (native(v, insn, rip))
        return calm(v) ? XL_STAY : XL_LEAVE;
    const enum xl_after r = work(v, insn, rip);
    if (r == XL_ELSEWHERE)
        return XL_STAY;
    if ((r == XL_LEAVE && (v->lock || cpu->shadow || cpu->exc_pending)) || !calm(v))
        return XL_LEAVE;
    if (insn->op == X86_OP_IRET)
        xl_ring_learn(v);
    cpu->stop = 0;
    cpu->rflags &= ~(uint64_t)X86_RF; /* holds for one instruction, and nobody looks at it */
    xl_c_end(v);
    /* A change of CR3 has told xl_tlb_flushed(). */
    if (insn->op != X86_OP_MOV_TO_CR || insn->operand[0].reg != 3)
        xl_set_salt(v);
    return XL_STAY;
}

/* ---- running ---- */

enum { COLD_RUNS = 4 };

/* A block that has hardly been run is not worth a translation yet. */
static bool is_cold(const struct xl *xl, struct soft_block *sb)
{
    return !sb->native && sb->runs < xl->cold_runs && ++sb->runs;
}

static void interpret(struct x86_cpu *cpu, const struct soft_block *sb)
{
    const struct x86_insn *insn = sb->insn, *end = insn + sb->count;

    cpu->stop = 0;
    do {
        const uint64_t rip = cpu->rip;
        cpu->insn_rip = rip;
        cpu->rip = rip + insn->len;
        if (insn->op >= X86_OP_FPU)
            xl_fpu_before(soft_vcpu_of(cpu), insn);
        insn->exec(cpu, insn);
        insn++;
    } while (!cpu->stop && insn < end);
    cpu->insns += (uint64_t)(insn - sb->insn);
}

/* x86_exec_fn: generated code from cpu->rip on, as if it were one instruction of no length. */
static void run_code(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);
    struct xl *xl = &v->xl;
    struct xl_link *(*enter)(void *) =
        (struct xl_link * (*)(void *))(uintptr_t)(xl->rx + xl->enter);
    struct soft_block *sb = v->current;
    struct xl_link *link = NULL;
    uint32_t generation = xl->generation;

    (void)insn;
    for (;;) {
        if (is_cold(xl, sb)) {
            link = NULL;
            interpret(cpu, sb);
            goto check;
        }
        xl_fpu_get(v); /* first: it tells part of the key */
        xl_c_begin(v);
        xl_window_ready(v);
        const bool twin = link && link->twin;
        xl->limit = v->lock && twin ? lockstep_left(v) : XL_MAX_INSNS;
        struct xl_block *b = xl_find(v, sb, twin);
        if (link && generation == xl->generation && !(sb->crosses && link->reach == XL_PAGE))
            xl_link_to(v, link, b);
        xl_set_salt(v);
        if (!twin)
            xl_jump_to(v, b);
        generation = xl->generation;
        flags_out(v);
        xl->entries++;
        xl_fpu_get(v);
        link = enter(xl->rx + b->code);
        xl_c_begin(v);
        flags_in(v);
        if (link)
            cpu->rip = link->rip;
        else if (cpu->code == 8 && (uint64_t)((int64_t)(cpu->rip << 16) >> 16) != cpu->rip) {
            const struct xl_site *s = (const struct xl_site *)(void *)(xl->arena + xl->site);
            cpu->rip = s->rip;
            cpu->gpr[X86_RSP] -= (uint64_t)s->rsp;
            v->xl_step = true;
            return;
        }
    check:
        if (atomic_load_explicit(&xl->poll, memory_order_relaxed) &&
            !(v->lock && link && link->twin)) { /* the twin is a part of the same block */
            xl->polls++;
            xl_window_sample(v, soft_rdtsc());
            return;
        }
        if (must_leave(v) || cpu->debugging || !xl_usable(cpu))
            return;
        if (!(++xl->misses % 16))
            xl_window_glance(v);
        sb = soft_block_get(v);
        if (!sb)
            return;
        cpu->stop = 0;
        v->current = sb;
    }
}

static const struct x86_insn *none(struct x86_cpu *cpu, const struct x86_insn **end)
{
    (void)cpu;
    (void)end;
    return NULL;
}

static void set_timer(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;

    if (v->deadline_tsc == UINT64_MAX || v->deadline_tsc == xl->timer_tsc)
        return;
    xl->timer_tsc = v->deadline_tsc;
    uint64_t ns = soft_tsc_to_ns(v->deadline_tsc);
    struct itimerspec ts = { .it_value = { .tv_sec = (time_t)(ns / 1000000000),
                                           .tv_nsec = (long)(ns % 1000000000) + 1 } };
    if (ts.it_value.tv_nsec > 999999999)
        ts.it_value.tv_nsec = 999999999;
    timerfd_settime(xl->timer_fd, TFD_TIMER_ABSTIME, &ts, NULL);
}

bool xl_ready(struct soft_vcpu *v)
{
    atomic_store(&v->xl.poll, 0); /* before the look at attention: soft_attention does it after */
    if (atomic_load(&v->attention) & ~(uint32_t)(SOFT_WINDOW | SOFT_NMI_WINDOW))
        return false;
    if (soft_rdtsc() >= v->deadline_tsc) {
        atomic_fetch_or(&v->attention, SOFT_IRQ);
        return false;
    }
    set_timer(v);
    return true;
}

static enum x86_exit run_from(struct soft_vcpu *v, struct soft_block *b)
{
    static const struct x86_insn code = { .exec = run_code };

    v->current = b;
    return x86_run_blocks(&v->cpu, &code, &code + 1, none);
}

enum x86_exit xl_run(struct soft_vcpu *v, struct soft_block *b)
{
    return xl_ready(v) ? run_from(v, b) : X86_EXIT_NONE;
}

/* With poll set, and no block linked to the next, generated code comes back behind each block. */
enum x86_exit xl_enter(struct soft_vcpu *v, struct soft_block *b)
{
    atomic_store(&v->xl.poll, 1);
    return run_from(v, b);
}

unsigned xl_insns(struct soft_vcpu *v, struct soft_block *b, const struct x86_insn **insn)
{
    unsigned n = 0, count;

    xl_fpu_get(v);
    xl_c_begin(v);
    v->xl.limit = XL_MAX_INSNS;
    count = xl_find(v, b, false)->count;
    for (; b && n < count; b = b->crosses ? NULL : soft_block_behind(v, b))
        for (unsigned i = 0; i < b->count && n < count; i++)
            insn[n++] = &b->insn[i];
    return n;
}

/* ---- life ---- */

enum { STACK_GUARD = 64 << 10 };

static uint8_t *stack_alloc(void)
{
    uint8_t *p = soft_pages_alloc(XL_STACK_SIZE + STACK_GUARD);

    if (p && mprotect(p, STACK_GUARD, PROT_NONE) < 0) {
        soft_pages_free(p, XL_STACK_SIZE + STACK_GUARD);
        return NULL;
    }
    return p ? p + STACK_GUARD : NULL;
}

/* Generated code counts nothing, so somebody else must watch the clock. */
static void *timer_main(void *arg)
{
    struct soft_vcpu *v = arg;
    uint64_t n;

    while (read(v->xl.timer_fd, &n, sizeof(n)) >= 0 || errno == EINTR) {
        if (atomic_load(&v->xl.timer_stop))
            break;
        soft_attention(v, SOFT_IRQ);
    }
    return NULL;
}

int xl_init(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;
    void *rw, *rx;
    int err;

    xl->timer_fd = -1;
    if (xl_lacks())
        return -ENOTSUP;
    xl->size = v->vm->code_size;
    err = soft_code_alloc(&rw, &rx, xl->size);
    if (err)
        return err;
    xl->rw = rw;
    xl->rx = rx;
    xl->arena = soft_pages_alloc(xl->size);
    xl->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (!xl->arena || xl->timer_fd < 0)
        return -ENOMEM;
    err = -pthread_create(&xl->timer, NULL, timer_main, v);
    if (err)
        return err;
    xl->timer_running = true;
    xl->stack = stack_alloc();
    if (!xl->stack || getrandom(xl->seed, sizeof(xl->seed), 0) != sizeof(xl->seed))
        return -ENOMEM;
    xl->poison = xl->seed[0] ^ xl->seed[1];
    xl->fsgsbase = xl_host_fsgsbase();
    xl->rorx = xl_host_bmi2() && !v->vm->no_bmi2;
    xl->pext = xl->rorx && !xl_host_slow_pext();
    xl->index_mask = (X86_TLB_SIZE - 1) << 12;
    xl->page_mask = ~0xfffull;
    for (unsigned i = 0; i < 3; i++)
        xl->low_mask[i] = (16u << i) - 1;
    xl->in_page = 0xfff;
    xl->next_page = 0x1000;
    xl->fcw_check = 0x3f;
    xl_fpu_init(v);
    xl_ring_init(xl);
    xl_xsave_init(xl);
    xl->fn_emulate = (uint64_t)(uintptr_t)emulate;
    xl->fn_last = (uint64_t)(uintptr_t)emulate_last;
    xl->generation = xl->pages_now = 1;
    xl->cold_runs = COLD_RUNS;
    xl->peek = true;
    xl->limit = XL_MAX_INSNS;
    xl_window_init(v);
    xl->verify = v->vm->lockstep;
    xl_thunks(v);
    if (v->vm->perf)
        xl_perf_thunks(v);
    xl->on = true;
    xl_flush(v);
    return 0;
}

void xl_destroy(struct soft_vcpu *v)
{
    struct xl *xl = &v->xl;

    if (!xl->rw)
        return;
    if (xl->timer_running) {
        const struct itimerspec now = { .it_value = { .tv_nsec = 1 } };
        atomic_store(&xl->timer_stop, true);
        timerfd_settime(xl->timer_fd, 0, &now, NULL);
        pthread_join(xl->timer, NULL);
    }
    if (xl->timer_fd >= 0)
        close(xl->timer_fd);
    xl_window_destroy(v);
    soft_code_free(xl->rw, xl->rx, xl->size);
    soft_pages_free(xl->arena, xl->size);
    if (xl->stack)
        soft_pages_free(xl->stack - STACK_GUARD, XL_STACK_SIZE + STACK_GUARD);
}

/* ---- a vCPU's thread ---- */

static _Thread_local struct soft_vcpu *of_thread;
static struct sigaction old_segv;
static pthread_once_t segv_once = PTHREAD_ONCE_INIT;

/* Calls may nest deeper than the stack of return addresses: it starts anew, and the forgotten
 * callers are found by the jump cache. */
static void on_segv(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    struct soft_vcpu *v = of_thread;

    if (v && (uintptr_t)info->si_addr - ((uintptr_t)v->xl.stack - STACK_GUARD) < STACK_GUARD) {
        uc->uc_mcontext.gregs[REG_RSP] = xl_stack_top(&v->xl);
        return;
    }
    if (v && v->xl.window && xl_window_fault(v, uc, (uintptr_t)info->si_addr))
        return;
    if (old_segv.sa_flags & SA_SIGINFO)
        old_segv.sa_sigaction(sig, info, context);
    else if (old_segv.sa_handler != SIG_DFL && old_segv.sa_handler != SIG_IGN)
        old_segv.sa_handler(sig);
    else
        signal(SIGSEGV, SIG_DFL); /* again, and then it ends us */
}

static void install_segv(void)
{
    struct sigaction sa = { .sa_sigaction = on_segv, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    sigaction(SIGSEGV, &sa, &old_segv);
}

/* Signals but those of faults are not for a thread that may have little stack. */
static void prepare_thread(void)
{
    static _Thread_local char altstack[64 << 10];
    const stack_t ss = { .ss_sp = altstack, .ss_size = sizeof(altstack) };
    sigset_t set;

    sigfillset(&set);
    sigdelset(&set, SIGSEGV);
    sigdelset(&set, SIGBUS);
    sigdelset(&set, SIGFPE);
    sigdelset(&set, SIGILL);
    sigdelset(&set, SIGTRAP);
    sigdelset(&set, SIGABRT);
    sigdelset(&set, SIGALRM); /* of a test, and deadly */
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    sigaltstack(&ss, NULL);
    pthread_once(&segv_once, install_segv);
}

void xl_switched(struct soft_vcpu *v)
{
    if (of_thread == v)
        xl_set_gs(v);
}

void xl_begin(struct soft_vcpu *v)
{
    if (!v->xl.on)
        return;
    if (!of_thread)
        prepare_thread();
    of_thread = v;
    xl_set_gs(v);
}
