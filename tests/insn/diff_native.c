/* SPDX-License-Identifier: BSD-2-Clause */
/* Differential test: the processor's side. A page of code loads all registers, runs the
 * instruction, stores them again; faults come back by signal. 32-bit code runs in the kernel's
 * compatibility code segment. */
#include <asm/prctl.h>
#include <setjmp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/insn/diff.h"
#include "tests/processor.h"

uint64_t direct_fs_base, direct_gs_base = 0x1230, direct_xcr0;

/* At D_STATE; the assembly knows the offsets. */
struct area {
    uint64_t gpr[16];
    uint64_t flags, host_rsp, target, mask;
    uint8_t stack[4096 - 160];
    uint8_t in[8192], out[8192];
};
#define AREA ((struct area *)(uintptr_t)D_STATE)
_Static_assert(offsetof(struct area, in) == 4096 && offsetof(struct area, out) == 12288,
               "as the assembly says");

_Static_assert(sizeof(struct area) == D_STATE_SIZE, "");

extern const uint8_t diff_head64[], diff_tail64[], diff_head32[], diff_tail32[];
__asm__(".pushsection .rodata\n"
        ".set S, 0x10010000\n"
        ".globl diff_code, diff_end\n"
        ".hidden diff_code, diff_end\n"
        "diff_code:\n"
        "diff_head64:\n"
        " push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp, S+136\n"
        " mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %es\n"
        " mov S+152, %eax\n xor %edx, %edx\n test %eax, %eax\n jz 1f\n xrstor64 S+4096\n1:"
        " pushq S+128\n popfq\n"
        " mov S+0, %rax\n mov S+8, %rcx\n mov S+16, %rdx\n mov S+24, %rbx\n mov S+40, %rbp\n"
        " mov S+48, %rsi\n mov S+56, %rdi\n mov S+64, %r8\n mov S+72, %r9\n mov S+80, %r10\n"
        " mov S+88, %r11\n mov S+96, %r12\n mov S+104, %r13\n mov S+112, %r14\n mov S+120, %r15\n"
        " mov S+32, %rsp\n jmp *S+144\n"
        "diff_tail64:\n"
        " mov %rax, S+0\n mov %rcx, S+8\n mov %rdx, S+16\n mov %rbx, S+24\n mov %rsp, S+32\n"
        " mov %rbp, S+40\n mov %rsi, S+48\n mov %rdi, S+56\n mov %r8, S+64\n mov %r9, S+72\n"
        " mov %r10, S+80\n mov %r11, S+88\n mov %r12, S+96\n mov %r13, S+104\n mov %r14, S+112\n"
        " mov %r15, S+120\n"
        " mov S+136, %rsp\n pushfq\n popq S+128\n"
        "diff_common:\n"
        " pushq $0x202\n popfq\n"
        " mov S+152, %eax\n xor %edx, %edx\n test %eax, %eax\n jz 1f\n xsave64 S+12288\n"
        " fninit\n pushq $0x1f80\n ldmxcsr (%rsp)\n add $8, %rsp\n"
        " test $4, %al\n jz 1f\n vzeroupper\n1:"
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"
        "diff_head32:\n"
        " push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"
        " mov %rsp, S+136\n"
        " mov $0x2b, %eax\n mov %eax, %ds\n mov %eax, %es\n"
        " mov S+152, %eax\n xor %edx, %edx\n test %eax, %eax\n jz 1f\n xrstor64 S+4096\n1:"
        " pushq $0x23\n pushq $0x10000000 + (2f - diff_code)\n lretq\n"
        " .code32\n"
        "2: mov $S+4096, %esp\n push S+128\n popf\n"
        " mov S+0, %eax\n mov S+8, %ecx\n mov S+16, %edx\n mov S+24, %ebx\n mov S+40, %ebp\n"
        " mov S+48, %esi\n mov S+56, %edi\n mov S+32, %esp\n jmp *S+144\n"
        "diff_tail32:\n"
        " mov %eax, S+0\n mov %ecx, S+8\n mov %edx, S+16\n mov %ebx, S+24\n mov %esp, S+32\n"
        " mov %ebp, S+40\n mov %esi, S+48\n mov %edi, S+56\n"
        " mov $S+4096, %esp\n pushf\n pop S+128\n push $0x202\n popf\n"
        " ljmp $0x33, $0x10000000 + (3f - diff_code)\n"
        " .code64\n"
        "3: mov S+136, %rsp\n jmp diff_common\n"
        "diff_end:\n.popsection\n");

static uint8_t *code_rw; /* the page of the instruction, writable */
static sigjmp_buf fault_jmp;
static const struct diff_case *running;
static struct diff_result *result;
static volatile sig_atomic_t inside;

static void on_signal(int sig, siginfo_t *si, void *context)
{
    struct processor_fault f;

    (void)si;
    processor_fault(&f, context);
    __asm__ volatile("pushfq\n andl $~0x40000, (%%rsp)\n popfq" ::: "cc", "memory"); /* AC */
    if (!inside || (f.rip >= D_CODE && f.rip < D_CODE + 4096)) {
        static const char text[] = "diff: fault outside the instruction\n";
        if (write(2, text, sizeof(text) - 1) < 0)
            _exit(3);
        _exit(3);
    }
    memcpy(result->after.gpr, f.gpr, sizeof(f.gpr));
    result->after.rflags = f.rflags;
    result->after.rip = f.rip;
    result->vector = f.vector;
    result->error = f.error;
    result->cr2 = f.cr2;
    if (running->vec && f.xsave)
        memcpy(result->after.xsave, f.xsave, D_XSAVE);
    /* A branch to the INT3s around the instruction has worked. */
    if (sig == SIGTRAP && result->vector == X86_BP && running->insn.op != X86_OP_INT3 &&
        running->insn.op != X86_OP_INT) {
        result->vector = -1;
        result->after.rip = f.rip - 1;
    }
    siglongjmp(fault_jmp, 1);
}

uint8_t *direct_at(uint64_t lin)
{
    if (lin - D_DATA < D_DATA_PAGES * 4096 && (lin - D_DATA) >> 12 != D_HOLE_PAGE)
        return (uint8_t *)(uintptr_t)lin;
    if (lin - D_HIGH < D_HIGH_PAGES * 4096)
        return (uint8_t *)(uintptr_t)lin;
    return NULL;
}

void direct_setup(void)
{
    const int fd = processor_memory(8192);

    code_rw = processor_map(0, 8192, PROT_READ | PROT_WRITE, fd);
    processor_map(D_CODE, 8192, PROT_READ | PROT_EXEC, fd);
    memset(code_rw, 0xcc, 8192);
    memcpy(code_rw, diff_code, (size_t)(diff_end - diff_code));
    processor_map(D_STATE, sizeof(struct area), PROT_READ | PROT_WRITE, -1);
    processor_map(D_DATA, D_DATA_PAGES * 4096, PROT_READ | PROT_WRITE, -1);
    munmap((void *)(uintptr_t)(D_DATA + D_HOLE_PAGE * 4096), 4096);
    processor_map(D_HIGH, D_HIGH_PAGES * 4096, PROT_READ | PROT_WRITE, -1);
    for (uint64_t p = D_DATA; p < D_DATA + D_DATA_PAGES * 4096; p += 8)
        if (direct_at(p))
            le64_put(direct_at(p), gen_random());
    mprotect((void *)(uintptr_t)(D_DATA + D_RO_PAGE * 4096), 4096, PROT_READ);
    for (uint64_t p = D_HIGH; p < D_HIGH + D_HIGH_PAGES * 4096; p += 8)
        le64_put(direct_at(p), gen_random());

    syscall(SYS_arch_prctl, ARCH_GET_FS, &direct_fs_base);
    syscall(SYS_arch_prctl, ARCH_SET_GS, direct_gs_base);
    direct_xcr0 = processor_xcr0();
    processor_catch(on_signal);
}

/* A jump to the tail. */
unsigned direct_behind(const struct diff_case *c, uint8_t code[8])
{
    const uint8_t *tail = c->mode == 8 ? diff_tail64 : diff_tail32;

    code[0] = 0xe9;
    le32_put(code + 1,
             (uint32_t)(D_CODE + (uint64_t)(tail - diff_code) - (D_INSN + c->insn.len + 5)));
    return 5;
}

void direct_run(const struct diff_case *c, struct diff_result *r)
{
    struct area *a = AREA;
    uint8_t *at = code_rw + (D_INSN - D_CODE), behind[8];
    unsigned len = c->insn.len;
    const uint8_t *head = c->mode == 8 ? diff_head64 : diff_head32;

    memcpy(at, c->code, len);
    memcpy(at + len, behind, direct_behind(c, behind));
    memcpy(a->gpr, c->before.gpr, sizeof(a->gpr));
    a->flags = c->before.rflags;
    a->target = D_INSN;
    a->mask = c->vec ? direct_xcr0 : 0;
    if (c->vec)
        memcpy(a->in, c->before.xsave, D_XSAVE);
    running = c;
    result = r;
    r->vector = -1;
    if (!sigsetjmp(fault_jmp, 0)) {
        inside = 1;
        ((void (*)(void))(uintptr_t)(D_CODE + (uint64_t)(head - diff_code)))();
        memcpy(r->after.gpr, a->gpr, sizeof(a->gpr));
        r->after.rflags = a->flags;
        r->after.rip = D_INSN + len;
        if (c->vec)
            memcpy(r->after.xsave, a->out, D_XSAVE);
    } else {
        __asm__ volatile("pushq $0x202\n popfq" ::: "cc", "memory");
    }
    inside = 0;
    memset(at, 0xcc, len + 5);
}
