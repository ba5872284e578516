/* SPDX-License-Identifier: BSD-2-Clause */
/* Random blocks three ways: by the processor. All of a case happens at fixed addresses below 4 GiB;
 * whatever ends it is a signal. */
#include <asm/prctl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isa/x86/native.h"
#include "tests/processor.h"
#include "tests/xl/blocks.h"

uint64_t direct_fs_base, direct_gs_base, direct_xcr0;
uint8_t *processor_code, *processor_data;
uint32_t xsave_end;

struct area {
    uint64_t gpr[16], flags;
    uint32_t target, selector, mask, pad;
    uint8_t fill[4096 - 152];
    uint8_t in[XSAVE];
};
_Static_assert(offsetof(struct area, in) == 4096, "as the assembly says");
#define AREA ((struct area *)(uintptr_t)STATE)

void blocks_enter(void);
__asm__(".pushsection .text\n.set A, 0x0e010000\nblocks_enter:\n"
        " mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %es\n"
        " mov A+144, %eax\n xor %edx, %edx\n xrstor64 A+4096\n"
        " mov A+32, %rsp\n sub $8, %rsp\n mov (%rsp), %rax\n mov %rax, A+152\n"
        " mov A+128, %rax\n mov %rax, (%rsp)\n"
        " mov A+152, %rcx\n popfq\n mov %rcx, -8(%rsp)\n"
        " mov A+0, %rax\n mov A+8, %rcx\n mov A+16, %rdx\n mov A+24, %rbx\n mov A+40, %rbp\n"
        " mov A+48, %rsi\n mov A+56, %rdi\n mov A+64, %r8\n mov A+72, %r9\n mov A+80, %r10\n"
        " mov A+88, %r11\n mov A+96, %r12\n mov A+104, %r13\n mov A+112, %r14\n mov A+120, %r15\n"
        " ljmp *A+136\n.popsection\n");

static sigjmp_buf fault_jmp;
static struct state *native_out;
static volatile sig_atomic_t inside;
static pthread_t self;
static void (*on_crash)(int sig, uint64_t rip);
static struct sigaction engine_segv;

static void on_signal(int sig, siginfo_t *si, void *context)
{
    struct state *s = native_out;
    struct processor_fault f;

    processor_fault(&f, context);
    if (!inside) {
        static bool again, with_engine;
        if (sig == SIGALRM) /* just too late */
            return;
        if (sig == SIGSEGV && engine_segv.sa_sigaction && !with_engine) {
            with_engine = true; /* it comes back to here with what is not its own */
            engine_segv.sa_sigaction(sig, si, context);
            with_engine = false;
            return;
        }
        signal(sig, SIG_DFL);
        if (!again) {
            again = true;
            on_crash(sig, f.rip);
        }
        return;
    }
    memcpy(s->gpr, f.gpr, sizeof(f.gpr));
    s->rflags = f.rflags;
    s->rip = f.rip;
    s->vector = sig == SIGALRM ? -1 : f.vector;
    s->error = f.error;
    s->cr2 = f.cr2;
    if (test.vec)
        memcpy(s->xsave, f.xsave, xsave_end);
    siglongjmp(fault_jmp, 1);
}

void processor_faults_first(void)
{
    struct sigaction sa;

    sigaction(SIGSEGV, NULL, &sa);
    if (sa.sa_sigaction == on_signal)
        return;
    engine_segv = sa;
    sa = (struct sigaction){ .sa_sigaction = on_signal,
                             .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    sigaction(SIGSEGV, &sa, NULL);
}

void processor_look(void (*crash)(int sig, uint64_t rip))
{
    self = pthread_self();
    on_crash = crash;
    processor_catch(on_signal);
    direct_xcr0 = processor_xcr0();
    xsave_end = MIN(x86_native_xsave_size(direct_xcr0), (uint32_t)XSAVE);
}

static void map_data(uint64_t at, int fd)
{
    void *ro = (void *)(uintptr_t)(at + RO * 4096);

    processor_map(at, DATA_PAGES * 4096, PROT_READ | PROT_WRITE, fd);
    mprotect(ro, 4096, PROT_READ);
    (void)*(volatile uint8_t *)ro; /* a fault there is to find it present */
    munmap((void *)(uintptr_t)(at + HOLE * 4096), 4096);
}

void processor_setup(void)
{
    const size_t code = PAGES * 4096, data = DATA_PAGES * 4096;
    int fd = processor_memory(code);

    processor_map(CODE, code, PROT_READ | PROT_WRITE | PROT_EXEC, fd);
    processor_code = processor_map(ALIAS, code, PROT_READ | PROT_WRITE, fd);
    memset(processor_code, 0xcc, code);
    processor_map(STATE, sizeof(struct area), PROT_READ | PROT_WRITE, -1);
    fd = processor_memory(data);
    processor_data = processor_map(0, data, PROT_READ | PROT_WRITE, fd);
    map_data(DATA, fd);
    map_data(HIGH, fd);
    map_data(MIRROR, fd);
    const struct sigaction sa = { .sa_sigaction = on_signal,
                                  .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    sigaction(SIGALRM, &sa, NULL);
}

void processor_stop(void)
{
    if (inside)
        pthread_kill(self, SIGALRM);
}

static void set_rights(void)
{
    static const int prot[] = { PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE };
    static enum right is[RIGHTS];

    for (unsigned p = 0; p < RIGHTS; p++) {
        if (is[p] == test.right[p])
            continue;
        is[p] = test.right[p];
        for (unsigned i = 0; i < 3; i++) {
            uint8_t *at =
                (uint8_t *)(uintptr_t)((const uint64_t[]){ DATA, HIGH, MIRROR }[i]) + 4096ul * p;
            mprotect(at, 4096, prot[is[p]]);
            if (is[p] == READ_ONLY)
                (void)*(volatile uint8_t *)at; /* present: that is told by faults */
        }
    }
}

void processor_run(struct state *out)
{
    struct area *a = AREA;
    static uint64_t engine_gs;

    set_rights();
    memcpy(processor_data, test.data, sizeof(test.data));
    memcpy(a->gpr, test.before.gpr, sizeof(a->gpr));
    a->flags = test.before.rflags;
    a->target = (uint32_t)test.before.rip;
    a->selector = test.mode == 8 ? 0x33 : 0x23;
    a->mask = (uint32_t)direct_xcr0;
    memcpy(a->in, test.before.xsave, XSAVE);
    native_out = out;
    /* The guests have 0 there. FS is ours, too, but what comes to run by chance seldom uses it. */
    syscall(SYS_arch_prctl, ARCH_GET_GS, &engine_gs);
    syscall(SYS_arch_prctl, ARCH_SET_GS, 0);
    if (!sigsetjmp(fault_jmp, 0)) {
        inside = 1;
        blocks_enter();
    }
    inside = 0;
    syscall(SYS_arch_prctl, ARCH_SET_GS, engine_gs);
    __asm__ volatile("pushq $0x202\n popfq\n cld\n fninit" ::: "cc", "memory");
}
