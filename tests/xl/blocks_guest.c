/* SPDX-License-Identifier: BSD-2-Clause */
/* Random blocks three ways: by the engine. A guest of its own for each way; its kernel enters a
 * block by IRET, and halts at whatever exception ends it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/xl/blocks.h"

/* Guest-physical, and the first of them linear, too. */
enum { RAM_SIZE = 8 << 20, TABLES = 6 << 20, DATA_AT = 4 << 20, SPACE_SIZE = 1 << 20 };
enum { CODE_AT = 1 << 20, ELSEWHERE = 7 << 20 };
enum {
    GDT = 0x1000,
    IDT = 0x2000,
    TSS = 0x3000,
    STUBS = 0x4000,
    STACK = 0x6000,
    LOAD = 0x7000,
    SWITCH = 0x7100,
    FORGET = 0x7200,
    NEXT = 0x7838,
    NEW_SPACE = 0x7800,
    PAGE_AT = 0x7810,
    REGS = 0x7900
};

enum { MAX_EXITS = 2000 };

static const struct engine_ops *const ops = &engine_soft;

/* Two address spaces differ in where data lie; their tables are of their own. */
static uint8_t *pte_of(struct guest *g, unsigned space, uint64_t lin)
{
    uint64_t table = TABLES + 4096ull * space;

    if (!g->tables)
        g->tables = 2;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        uint8_t *e = g->ram + table + (lin >> shift & 511) * 8;
        if (!le64(e))
            le64_put(e, (TABLES + 4096ull * g->tables++) | 7);
        table = le64(e) & ~0xfffull;
    }
    return g->ram + table + (lin >> 12 & 511) * 8;
}

static void map_page(struct guest *g, unsigned space, uint64_t lin, uint64_t gpa, uint64_t flags)
{
    le64_put(pte_of(g, space, lin), gpa | flags);
}

static const uint64_t data_at[] = { DATA, HIGH, MIRROR };
static unsigned data_ats(void) { return ARRAY_LEN(data_at) - !test.mirror; }

static void map_data(struct guest *g, unsigned space, unsigned p, enum right right)
{
    const uint64_t flags = right == ABSENT ? 0 : (right == READ_ONLY ? 5 : 7) | X86_PTE_NX;

    for (unsigned i = 0; i < data_ats(); i++)
        map_page(g, space, data_at[i] + p * 4096, DATA_AT + SPACE_SIZE * space + p * 4096, flags);
}

static struct kvm_segment segment(unsigned sel, unsigned type, unsigned dpl, bool l)
{
    return (struct kvm_segment){ .limit = 0xffffffff,
                                 .selector = (uint16_t)sel,
                                 .type = (uint8_t)type,
                                 .present = 1,
                                 .dpl = (uint8_t)dpl,
                                 .db = !l,
                                 .s = 1,
                                 .l = l,
                                 .g = 1 };
}

static void check(int err)
{
    if (err) {
        fprintf(stderr, "blocks: engine: %s\n", strerror(-err));
        exit(77);
    }
}

static void spaces(struct guest *g, unsigned n)
{
    for (unsigned p = 1; p < 8; p++)
        map_page(g, n, p * 4096, p * 4096, 3 | X86_PTE_G);
    for (unsigned p = 0; p < PAGES; p++) {
        map_page(g, n, CODE + p * 4096, CODE_AT + p * 4096, 7);
        map_page(g, n, ALIAS + p * 4096, CODE_AT + p * 4096, 7 | X86_PTE_NX);
    }
    for (unsigned p = 0; p < DATA_PAGES; p++)
        map_data(g, n, p, p == HOLE ? ABSENT : p == RO ? READ_ONLY : WRITABLE);
    for (unsigned i = 0; i < data_ats(); i++)
        map_page(g, n, data_at[i] + (MMIO - DATA), 0x40000000, 7);
}

static uint64_t cr3_of(unsigned space) { return (TABLES + 4096ull * space) | (space + 1); }

uint8_t *guest_data(const struct guest *g) { return g->ram + DATA_AT + SPACE_SIZE * g->space; }

/* What the kernel does: it goes into a block with registers from memory, before that into another
 * address space or with pages forgotten, and tells us of every exception. So from one case to the
 * next all that the engine knows stays. */
extern const uint8_t blocks_kernel[], blocks_stub[];
__asm__(".pushsection .rodata\n"
        "blocks_kernel: mov $0x7900, %rsp\n" /* LOAD: REGS */
        " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %r11\n pop %r10\n pop %r9\n pop %r8\n"
        " pop %rdi\n pop %rsi\n pop %rbp\n pop %rdx\n pop %rcx\n pop %rbx\n pop %rax\n iretq\n"
        " .org blocks_kernel + 0x100\n" /* SWITCH: NEW_SPACE */
        " mov 0x7800, %rax\n mov %rax, %cr3\n jmp blocks_kernel\n"
        " .org blocks_kernel + 0x200\n" /* FORGET: PAGE_AT */
        " mov 0x7810, %rax\n invlpg (%rax)\n mov 0x7818, %rax\n invlpg (%rax)\n"
        " mov 0x7820, %rax\n invlpg (%rax)\n mov 0x7828, %rax\n invlpg (%rax)\n jmp blocks_kernel\n"
        "blocks_stub: hlt\n jmp *0x7838\n" /* NEXT */
        " .org blocks_stub + 16\n .popsection\n");

/* Interrupts use a stack of their own, so that blocks may run in the kernel's mode, too. */
static void tables(struct guest *g)
{
    static const uint64_t gdt[] = { 0,
                                    0,
                                    0x00af9b000000ffff, /* 10: kernel code */
                                    0x00cf93000000ffff, /* 18 */
                                    0x00cffb000000ffff, /* 20: 32-bit user code */
                                    0x00cff3000000ffff, /* 28 */
                                    0x00affb000000ffff, /* 30: 64-bit user code */
                                    0x00cf9b000000ffff /* 38: 32-bit kernel code */ };
    uint8_t *r = g->ram;

    memcpy(r + GDT, gdt, sizeof(gdt));
    for (unsigned i = 0; i < 256; i++) {
        uint64_t at = STUBS + 16 * MIN(i, 32u);
        le64_put(r + IDT + 16 * i, (at & 0xffff) | 0x10 << 16 | 1ull << 32 | (at >> 16) << 48 |
                                       (uint64_t)(i == 3 || i == 4 ? 0xee : 0x8e) << 40);
        memcpy(r + at, blocks_stub, 16);
    }
    le64_put(r + TSS + 36, STACK);
    le16_put(r + TSS + 102, 0x68); /* no ports */
    memcpy(r + LOAD, blocks_kernel, (size_t)(blocks_stub - blocks_kernel));
    for (unsigned i = 0; i < 2; i++)
        spaces(g, i);
    memset(r + CODE_AT, 0xcc, PAGES * 4096);
    memcpy(g->kernel, r, sizeof(g->kernel));
}

void guest_setup(struct guest *g, const char *name, const struct engine_options *opt)
{
    struct kvm_sregs *s = &g->sregs;

    g->name = name;
    g->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (g->ram == MAP_FAILED)
        exit(77);
    check(ops->open(&g->engine, opt));
    check(ops->create_vm(g->engine, &g->vm));
    const struct kvm_userspace_memory_region m = { .memory_size = RAM_SIZE,
                                                   .userspace_addr = (uintptr_t)g->ram };
    check(ops->set_user_memory_region(g->vm, &m));
    check(ops->create_vcpu(g->vm, 0, &g->vcpu));
    tables(g);
    check(ops->get_sregs(g->vcpu, s));
    s->cs = segment(0x10, 11, 0, true);
    s->ss = segment(0x18, 3, 0, false);
    s->ds = s->es = segment(0x2b, 3, 3, false);
    s->gdt.base = GDT;
    s->gdt.limit = 8 * 8 - 1;
    s->idt.base = IDT;
    s->idt.limit = 0xfff;
    s->tr =
        (struct kvm_segment){ .base = TSS, .limit = 0x67, .selector = 8, .type = 11, .present = 1 };
    s->ldt = s->fs = s->gs = (struct kvm_segment){ .unusable = 1 };
    s->cr0 = 0x80010033;
    s->cr3 = cr3_of(0);
    s->cr4 = 0x606a0; /* OSXSAVE, PCIDE, OSXMMEXCPT, OSFXSR, PGE, PAE */
    s->efer = 0xd00;
    check(ops->set_sregs(g->vcpu, s));
    const struct kvm_xcrs x = { .nr_xcrs = 1, .xcrs[0] = { .xcr = 0, .value = direct_xcr0 } };
    check(ops->set_xcrs(g->vcpu, &x));
    memcpy(g->seg, guest_soft(g)->cpu.seg, sizeof(g->seg));
}

static uint64_t frame_of(uint64_t lin)
{
    return test.elsewhere && lin - test.base < sizeof(test.page) ? ELSEWHERE + (lin - test.base)
                                                                 : CODE_AT + (lin - CODE);
}

uint8_t *guest_code_at(const struct guest *g, uint64_t lin) { return g->ram + frame_of(lin); }

void guest_code(struct guest *g, const uint8_t *p, uint64_t lin, unsigned n)
{
    memcpy(guest_code_at(g, lin), p, n);
    ops->memory_written(g->vm, frame_of(lin), n);
}

void guest_kick(struct guest *g) { ops->kick(g->vcpu); }

void guest_translator(struct guest *g, bool exact, bool cold, bool peek)
{
    struct xl *xl = &guest_soft(g)->xl;

    g->exact = xl->exact = exact;
    xl->cold_runs = cold ? 2 : 0;
    xl->peek = peek;
}

void guest_fill_cache(struct guest *g, unsigned room)
{
    struct xl *xl = &guest_soft(g)->xl;
    const uint32_t least = 64 << 10; /* as xl_cache.c has it: with less, all is dropped */

    if (xl->size - xl->used > least + room)
        xl->used = xl->size - least - room;
}

/* Answers of a device: they depend on nothing but how many there were. */
static void answer(struct kvm_run *run, unsigned n)
{
    if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_IN)
        memset((uint8_t *)run + run->io.data_offset, (int)(0x11 * n + 7), 8);
    if (run->exit_reason == KVM_EXIT_MMIO && !run->mmio.is_write)
        memset(run->mmio.data, (int)(0x11 * n + 7), 8);
}

/* Whether a block before changed what sregs says. */
static bool is_changed(const struct guest *g, const struct x86_cpu *cpu)
{
    const struct kvm_sregs *s = &g->sregs;
    static const unsigned seg[] = { X86_DS, X86_ES, X86_FS, X86_GS };

    for (unsigned i = 0; i < 4; i++) {
        const struct x86_seg *is = &cpu->seg[seg[i]], *was = &g->seg[seg[i]];
        if (is->sel != was->sel || is->base != was->base || is->limit != was->limit ||
            is->attr != was->attr)
            return true;
    }
    return cpu->cr0 != s->cr0 || cpu->cr3 != s->cr3 || cpu->cr4 != s->cr4 || cpu->efer != s->efer;
}

static void set_rights(struct guest *g)
{
    for (unsigned p = 0; p < RIGHTS; p++) {
        if (g->right[p] == test.right[p])
            continue;
        g->right[p] = test.right[p];
        for (unsigned i = 0; i < 2; i++) {
            map_data(g, i, p, g->right[p]);
            g->outdated[i] |= 1u << p;
        }
    }
}

enum { CODE_MOVED = 1 << RIGHTS };

static void map_block(struct guest *g, uint64_t base, uint64_t at)
{
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned p = 0; p < BLOCK_PAGES; p++) {
            map_page(g, i, base + p * 4096, at + p * 4096, 7);
            map_page(g, i, base - CODE + ALIAS + p * 4096, at + p * 4096, 7 | X86_PTE_NX);
        }
        /* Of two blocks there are more pages than FORGET is for. */
        g->outdated[i] |= g->outdated[i] & CODE_MOVED && g->moved_now != base ? ~0u : CODE_MOVED;
    }
    g->moved_now = base;
}

static void move_code(struct guest *g)
{
    const uint64_t want = test.elsewhere ? test.base : 0;

    if (g->moved == want)
        return;
    if (g->moved)
        map_block(g, g->moved, CODE_AT + (g->moved - CODE));
    if (want)
        map_block(g, want, ELSEWHERE);
    g->moved = want;
}

static void kernel_word(struct guest *g, unsigned at, uint64_t v)
{
    le64_put(g->ram + at, v);
    le64_put(g->kernel + at, v);
}

/* Returns where the guest's kernel has to begin so as to enter the block in the right address
 * space, and with translations that hold. */
static uint64_t set_space(struct guest *g, bool from_outside)
{
    const unsigned to = test.space, old = g->outdated[to];

    g->outdated[to] = 0;
    g->sregs.cr3 = cr3_of(to);
    if (from_outside) {
        check(ops->set_sregs(g->vcpu, &g->sregs));
        return LOAD;
    }
    if (g->space == to && (old & (old - 1)) == 0) {
        for (unsigned i = 0; old && i < 4; i++)
            kernel_word(g, PAGE_AT + 8 * i,
                        old == CODE_MOVED
                            ? g->moved_now + (i & 1) * 4096 + (i & 2 ? ALIAS - CODE : 0)
                            : data_at[i % 3] + 4096u * (unsigned)__builtin_ctz(old));
        return old ? FORGET : LOAD;
    }
    kernel_word(g, NEW_SPACE, g->sregs.cr3 | (test.keep && !old ? 1ull << 63 : 0));
    return SWITCH;
}

static void enter(struct guest *g, bool flush)
{
    static const uint8_t order[] = { 15,      14,      13,      12,      11,
                                     10,      9,       8,       X86_RDI, X86_RSI,
                                     X86_RBP, X86_RDX, X86_RCX, X86_RBX, X86_RAX };
    struct x86_cpu *cpu = &guest_soft(g)->cpu;
    unsigned at = REGS;

    /* Code at a chance address in the kernel; what interrupts push does not matter. */
    if (g->touched && (memcmp(g->ram, g->kernel, STACK - 4096) ||
                       memcmp(g->ram + STACK, g->kernel + STACK, sizeof(g->kernel) - STACK))) {
        memcpy(g->ram, g->kernel, sizeof(g->kernel));
        ops->memory_written(g->vm, 0, sizeof(g->kernel));
        flush = true;
    }
    g->touched = test.kernel;
    set_rights(g);
    move_code(g);
    const bool anew = flush || !g->halted || is_changed(g, cpu);
    const uint64_t rip = set_space(g, anew);
    g->space = test.space;
    memcpy(guest_data(g), test.data, sizeof(test.data));
    cpu->cr2 = 0; /* INT 14 shows what was there */
    for (unsigned i = 0; i < ARRAY_LEN(order); i++, at += 8)
        kernel_word(g, at, test.before.gpr[order[i]]);
    kernel_word(g, at, test.before.rip);
    kernel_word(g, at + 8,
                test.kernel      ? (test.mode == 8 ? 0x10 : 0x38)
                : test.mode == 8 ? 0x33
                                 : 0x23);
    kernel_word(g, at + 16, test.before.rflags);
    kernel_word(g, at + 24, test.before.gpr[X86_RSP]);
    kernel_word(g, at + 32, test.kernel ? 0x18 : 0x2b);
    kernel_word(g, NEXT, rip);
    if (anew) {
        const struct kvm_regs regs = { .rip = rip, .rflags = 2, .rsp = STACK };
        check(ops->set_regs(g->vcpu, &regs));
    }
    check(ops->set_xsave(g->vcpu, (const struct kvm_xsave *)(const void *)test.before.xsave));
}

enum guest_end guest_run(struct guest *g, struct state *out, bool flush)
{
    struct kvm_run *run = g->vcpu->run;
    struct kvm_regs regs;
    unsigned n = 0;

    enter(g, flush);
    g->halted = false;
    for (;;) {
        int err = ops->run(g->vcpu);
        if (err == -EINTR) {
            if (stuck_run == runs)
                return STUCK;
            continue; /* that was for another */
        }
        check(err);
        if (run->exit_reason != KVM_EXIT_MMIO && run->exit_reason != KVM_EXIT_IO)
            break;
        if (n == MAX_EXITS) {
            guest_soft(g)->io = SOFT_IO_NONE;
            return STUCK;
        }
        answer(run, n++);
    }
    check(ops->get_regs(g->vcpu, &regs));
    *out = (struct state){ .rip = regs.rip, .vector = (int)run->exit_reason };
    if (run->exit_reason != KVM_EXIT_HLT || regs.rip - 1 - STUBS >= 33 * 16 ||
        STACK - 40 - regs.rsp > 8)
        return STRANGE;
    g->halted = true;
    out->vector = (int)((regs.rip - 1 - STUBS) / 16);
    const uint8_t *f = g->ram + regs.rsp;
    if (regs.rsp != STACK - 40) {
        out->error = le32(f);
        f += 8;
    }
    out->rip = le64(f);
    out->rflags = le64(f + 16);
    out->cr2 = guest_soft(g)->cpu.cr2;
    memcpy(out->gpr,
           (uint64_t[]){ regs.rax, regs.rcx, regs.rdx, regs.rbx, le64(f + 24), regs.rbp, regs.rsi,
                         regs.rdi, regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13,
                         regs.r14, regs.r15 },
           128);
    if (test.vec)
        check(ops->get_xsave(g->vcpu, (struct kvm_xsave *)(void *)out->xsave));
    return ENDED;
}
