/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the self-test's guest on an engine, in a child process with a hard time limit. */
#include "engine/selftest.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/selftest_guest.h"

extern const uint8_t selftest_guest[], selftest_guest_end[];

enum { CPUID_ROOM = 256, PIO_MOST = 4096 };
/* Where KVM wants three pages and one for itself: below the firmware, as everywhere. */
enum { TSS_GPA = 0xfffbd000, IDENTITY_GPA = 0xfffbc000 };
enum { PTE_P = 1, PTE_W = 2, PTE_U = 4, PTE_CD = 16, PTE_PS = 128 };

static const char *const step_name[] = {
    [STEP_OPEN] = "open",
    [STEP_SETUP] = "setup",
    [STEP_LONG_MODE] = "long mode",
    [STEP_PAGING] = "paging",
    [STEP_PAGE_FAULT] = "page faults",
    [STEP_INT3] = "int3",
    [STEP_SSE] = "SSE",
    [STEP_XSAVE] = "xsave",
    [STEP_CX16] = "cmpxchg16b",
    [STEP_SMAP] = "clac/stac",
    [STEP_IPI] = "interrupts",
    [STEP_TIMER] = "timer interrupts",
    [STEP_USER] = "user mode",
};

/* Shared with the child; the parent reads it when the child is gone or too late. */
struct progress {
    volatile unsigned step;
    volatile bool done;
    enum selftest_verdict verdict;
    int error;
    char reason[256];
};

struct test {
    const struct engine_ops *ops;
    struct progress *p;
    struct engine *engine;
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    uint8_t *slot[2];
};

static int finish(struct test *t, enum selftest_verdict verdict, int err, const char *fmt, ...)
    PRINTF(4, 5);
static int finish(struct test *t, enum selftest_verdict verdict, int err, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(t->p->reason, sizeof(t->p->reason), fmt, args);
    va_end(args);
    t->p->verdict = verdict;
    t->p->error = err;
    return err;
}

/* ---- set-up ---- */

static int open_engine(struct test *t, const struct engine_options *opt)
{
    char why[192] = "";
    struct engine_options o = { 0 };

    if (opt)
        o = *opt;
    o.why = why;
    o.why_size = sizeof(why);
    int err = t->ops->open(&t->engine, &o);
    if (!err)
        return 0;
    const char *text = why[0] ? why : strerror(-err);
    switch (err) {
    case -ENOENT:
    case -ENODEV:
    case -ENXIO: return finish(t, SELFTEST_NO_DEVICE, -ENODEV, "%s", text);
    case -EACCES:
    case -EPERM: return finish(t, SELFTEST_NO_PERMISSION, -EACCES, "%s", text);
    default: return finish(t, SELFTEST_UNUSABLE, -EOPNOTSUPP, "%s", text);
    }
}

static int create_vm(struct test *t)
{
    int err = t->ops->create_vm(t->engine, &t->vm);

    if (err == -EBUSY)
        return finish(t, SELFTEST_UNUSABLE, -EOPNOTSUPP,
                      "another hypervisor holds the processor's virtualization");
    if (err < 0)
        return finish(t, SELFTEST_UNUSABLE, -EOPNOTSUPP, "cannot create a VM: %s", strerror(-err));
    return 0;
}

static int set_slot(struct test *t, uint32_t n, uint64_t gpa)
{
    t->slot[n] = mmap(NULL, SLOT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (t->slot[n] == MAP_FAILED)
        return -errno;
    struct kvm_userspace_memory_region r = {
        .slot = n,
        .guest_phys_addr = gpa,
        .memory_size = SLOT_SIZE,
        .userspace_addr = (uintptr_t)t->slot[n],
    };
    return t->ops->set_user_memory_region(t->vm, &r);
}

static void put_entry(struct test *t, uint64_t table, unsigned index, uint64_t v)
{
    le64_put(t->slot[1] + (table - SLOT1) + index * 8, v);
}

static void fill_memory(struct test *t)
{
    memcpy(t->slot[0] + CODE, selftest_guest, (size_t)(selftest_guest_end - selftest_guest));
    put_entry(t, PML4, 0, PDPT | PTE_P | PTE_W | PTE_U);
    put_entry(t, PDPT, 0, PD_LOW | PTE_P | PTE_W | PTE_U);
    put_entry(t, PDPT, 3, PD_HIGH | PTE_P | PTE_W);
    put_entry(t, PD_LOW, 0, PTE_PS | PTE_P | PTE_W | PTE_U);
    put_entry(t, PD_LOW, VIRT >> 21, PT | PTE_P | PTE_W);
    put_entry(t, PD_HIGH, LAPIC >> 21 & 511,
              ALIGN_DOWN((uint64_t)LAPIC, MiB(2)) | PTE_PS | PTE_CD | PTE_P | PTE_W);
    put_entry(t, PT, 0, PAGE_A | PTE_P | PTE_W);
}

static int set_cpuid(struct test *t)
{
    struct kvm_cpuid2 *table = calloc(1, sizeof(*table) + CPUID_ROOM * sizeof(table->entries[0]));

    if (!table)
        return -ENOMEM;
    table->nent = CPUID_ROOM;
    int err = t->ops->get_supported_cpuid(t->engine, table);
    if (err >= 0)
        err = t->ops->set_cpuid2(t->vcpu, table);
    free(table);
    return err;
}

static int set_registers(struct test *t)
{
    struct kvm_segment code = {
        .limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .db = 1, .s = 1, .g = 1
    };
    struct kvm_segment data = code;
    struct kvm_sregs s;
    struct kvm_regs r = { .rip = CODE, .rsp = STACK, .rflags = 2 };

    int err = t->ops->get_sregs(t->vcpu, &s);
    if (err < 0)
        return err;
    data.selector = 0x10;
    data.type = 3;
    s.cs = code;
    s.ds = s.es = s.fs = s.gs = s.ss = data;
    s.cr0 = 0x11; /* PE, ET */
    s.cr4 = s.efer = 0;
    err = t->ops->set_sregs(t->vcpu, &s);
    return err < 0 ? err : t->ops->set_regs(t->vcpu, &r);
}

static int set_up(struct test *t)
{
    const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };
    const struct engine_ops *ops = t->ops;
    const char *what = "addresses for KVM";
    int err = ops->set_tss_addr ? ops->set_tss_addr(t->vm, TSS_GPA) : 0;

    if (err >= 0 && ops->set_identity_map_addr)
        err = ops->set_identity_map_addr(t->vm, IDENTITY_GPA);
    if (err >= 0)
        what = "interrupt controllers", err = ops->create_irqchip(t->vm);
    if (err >= 0)
        what = "timer", err = ops->create_pit2(t->vm, &pit);
    if (err >= 0)
        what = "memory", err = set_slot(t, 0, 0);
    if (err >= 0)
        err = set_slot(t, 1, SLOT1);
    if (err >= 0)
        fill_memory(t);
    if (err >= 0)
        what = "vCPU", err = ops->create_vcpu(t->vm, 0, &t->vcpu);
    if (err >= 0)
        what = "CPUID", err = set_cpuid(t);
    if (err >= 0)
        what = "registers", err = set_registers(t);
    if (err < 0)
        return finish(t, SELFTEST_FAILED, -EIO, "%s: %s", what, strerror(-err));
    return 0;
}

/* ---- running ---- */

static int fail(struct test *t, const char *what)
{
    struct kvm_regs r;
    char at[64] = "";

    if (t->ops->get_regs(t->vcpu, &r) >= 0)
        snprintf(at, sizeof(at), ", rip %#llx", r.rip);
    return finish(t, SELFTEST_FAILED, -EIO, "%s%s", what, at);
}

static const char *suberror(uint32_t n)
{
    switch (n) {
    case KVM_INTERNAL_ERROR_EMULATION: return "it cannot emulate an instruction";
    case KVM_INTERNAL_ERROR_SIMUL_EX: return "an exception while it delivers another";
    case KVM_INTERNAL_ERROR_DELIVERY_EV: return "it cannot deliver an event";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: return "unexpected exit of the processor";
    default: return "unknown suberror";
    }
}

/* An access to a port of ours; 1: go on. */
static int port_exit(struct test *t)
{
    const struct kvm_run *run = t->vcpu->run;
    char what[64];

    if (run->io.direction != KVM_EXIT_IO_OUT || run->io.size != 1 || run->io.count != 1 ||
        run->io.data_offset >= PIO_MOST * 3)
        return fail(t, "unexpected port access");
    uint8_t v = *((const uint8_t *)run + run->io.data_offset);
    switch (run->io.port) {
    case PORT_STEP:
        if (v == STEP_PASSED)
            return finish(t, SELFTEST_PASSED, 0, "passed");
        if (v <= t->p->step || v >= ARRAY_LEN(step_name))
            return fail(t, "steps out of order");
        t->p->step = v;
        return 1;
    case PORT_VECTOR:
        snprintf(what, sizeof(what), "unexpected exception %u", v);
        return fail(t, what);
    case PORT_WRONG: return fail(t, "wrong result");
    default: return fail(t, "unexpected port access");
    }
}

/* 1: go on. */
static int handle_exit(struct test *t)
{
    const struct kvm_run *run = t->vcpu->run;
    char what[96];

    switch (run->exit_reason) {
    case KVM_EXIT_IO: return port_exit(t);
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN: return 1;
    case KVM_EXIT_MMIO:
        snprintf(what, sizeof(what), "unexpected memory access at %#llx", run->mmio.phys_addr);
        return fail(t, what);
    case KVM_EXIT_SHUTDOWN: return fail(t, "triple fault");
    case KVM_EXIT_HLT: return fail(t, "HLT does not wait for interrupts");
    case KVM_EXIT_INTERNAL_ERROR:
        snprintf(what, sizeof(what), "internal error: %s", suberror(run->internal.suberror));
        return fail(t, what);
    case KVM_EXIT_FAIL_ENTRY:
        snprintf(what, sizeof(what), "the processor refuses to enter the guest (reason %#llx)",
                 run->fail_entry.hardware_entry_failure_reason);
        return fail(t, what);
    default:
        snprintf(what, sizeof(what), "unexpected exit %u", run->exit_reason);
        return fail(t, what);
    }
}

static int run_guest(struct test *t)
{
    for (;;) {
        int r = t->ops->run(t->vcpu);
        if (r == -EINTR || r == -EAGAIN)
            continue;
        if (r < 0)
            return finish(t, SELFTEST_FAILED, -EIO, "running: %s", strerror(-r));
        r = handle_exit(t);
        if (r <= 0)
            return r;
    }
}

/* The child's work. Nothing is taken down: it exits. */
static void child(struct test *t, const struct engine_options *opt)
{
    int err = open_engine(t, opt);

    if (!err)
        err = create_vm(t);
    t->p->step = STEP_SETUP;
    if (!err)
        err = set_up(t);
    if (!err)
        (void)run_guest(t);
    t->p->done = true;
    _exit(0);
}

/* ---- the parent ---- */

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Waits for the end of the pipe, which the child's end brings, but not beyond `until`. */
static void wait_for(int fd, uint64_t until)
{
    struct pollfd pfd = { .fd = fd, .events = POLLIN };
    uint64_t now;

    while ((now = now_us()) < until) {
        int r = poll(&pfd, 1, (int)((until - now) / 1000) + 1);
        if (r > 0 || (r < 0 && errno != EINTR))
            return;
    }
}

/* Collects the child without ever waiting for one that a broken driver holds. */
static bool reap(pid_t pid, int *status, unsigned ms)
{
    const struct timespec pause = { .tv_nsec = 1000000 };

    for (unsigned i = 0; i <= ms; i++) {
        pid_t r = waitpid(pid, status, WNOHANG);
        if (r == pid)
            return true;
        if (r < 0 && errno != EINTR)
            return false;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* status: the child's if it ended by itself without a result, else -1. */
static int verdict(const struct progress *p, int status, unsigned timeout_ms,
                   struct selftest_result *out)
{
    unsigned n = p->step;
    const char *step = n < ARRAY_LEN(step_name) ? step_name[n] : "?";

    if (p->done && p->verdict == SELFTEST_PASSED) {
        out->verdict = SELFTEST_PASSED;
        out->step = NULL;
        snprintf(out->reason, sizeof(out->reason), "passed in %u.%u ms", out->microseconds / 1000,
                 out->microseconds / 100 % 10);
        return 0;
    }
    out->step = step;
    if (p->done) {
        out->verdict = p->verdict;
        if (p->verdict == SELFTEST_FAILED)
            snprintf(out->reason, sizeof(out->reason), "self-test failed at %s: %.180s", step,
                     p->reason);
        else
            snprintf(out->reason, sizeof(out->reason), "%s", p->reason);
        return p->error;
    }
    if (status >= 0) {
        out->verdict = SELFTEST_FAILED;
        snprintf(out->reason, sizeof(out->reason), "self-test failed at %s: crashed with signal %d",
                 step, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
        return -EIO;
    }
    out->verdict = SELFTEST_TIMEOUT;
    snprintf(out->reason, sizeof(out->reason), "self-test failed at %s: not done after %u ms", step,
             timeout_ms);
    return -ETIMEDOUT;
}

static int cannot(struct selftest_result *out, const char *what)
{
    int err = -errno;

    out->verdict = SELFTEST_UNUSABLE;
    out->step = NULL;
    snprintf(out->reason, sizeof(out->reason), "self-test cannot run: %s: %s", what,
             strerror(-err));
    return err;
}

int engine_selftest(const struct engine_ops *ops, const struct engine_options *opt,
                    unsigned timeout_ms, struct selftest_result *out)
{
    uint64_t begin = now_us();
    int status = -1, fds[2], err;
    struct test t = { .ops = ops };

    *out = (struct selftest_result){ .verdict = SELFTEST_UNUSABLE };
    if (pipe2(fds, O_CLOEXEC) < 0)
        return cannot(out, "pipe");
    t.p = mmap(NULL, sizeof(*t.p), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (t.p == MAP_FAILED) {
        err = cannot(out, "memory");
        goto out_pipe;
    }
    fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        err = cannot(out, "fork");
        goto out_map;
    }
    if (!pid) {
        close(fds[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            child(&t, opt);
        _exit(0);
    }
    close(fds[1]);
    fds[1] = -1;
    wait_for(fds[0], begin + (uint64_t)timeout_ms * 1000);
    out->microseconds = (unsigned)(now_us() - begin);
    if (t.p->done || !reap(pid, &status, 10)) {
        status = -1;
        kill(pid, SIGKILL); /* taking a VM down can take longer than all the rest */
        (void)reap(pid, &(int){ 0 }, 200);
    }
    err = verdict(t.p, status, timeout_ms, out);
out_map:
    munmap(t.p, sizeof(*t.p));
out_pipe:
    close(fds[0]);
    if (fds[1] >= 0)
        close(fds[1]);
    return err;
}
