/* SPDX-License-Identifier: BSD-2-Clause */
/* The software engine through its table: tiny hand-assembled guests in every mode, exits, replay,
 * interrupts, self-modifying code, DMA into code, kicks, debugging, memory slots, state. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/engine.h"
#include "tests/unit/unit.h"

enum { RAM = 2 << 20, CODE = 0x8000 };

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

/* tests/unit/xl.c runs all this with another. */
#ifndef SOFT_TEST_MODE
#define SOFT_TEST_MODE "interp"
#define SOFT_TEST_VCPU(vcpu)
#define SOFT_TEST_NAME "soft"
#define SOFT_TEST_MORE()
#endif

static const struct engine_ops *const ops = &engine_soft;
static struct engine *engine;

struct guest {
    struct engine_vm *vm;
    struct engine_vcpu *vcpu;
    struct kvm_run *run;
    uint8_t *ram;
};

static void put(struct guest *g, uint64_t gpa, const uint8_t *p, size_t len)
{
    memcpy(g->ram + gpa, p, len);
}

static struct guest make(bool chip)
{
    struct guest g = { .ram = aligned_alloc(4096, RAM) };
    const struct kvm_pit_config pit = { .flags = KVM_PIT_SPEAKER_DUMMY };

    memset(g.ram, 0, RAM);
    CHECK_EQ(ops->create_vm(engine, &g.vm), 0);
    if (chip) {
        CHECK_EQ(ops->create_irqchip(g.vm), 0);
        CHECK_EQ(ops->create_pit2(g.vm, &pit), 0);
    }
    const struct kvm_userspace_memory_region r = { .memory_size = RAM,
                                                   .userspace_addr = (uintptr_t)g.ram };
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), 0);
    CHECK_EQ(ops->create_vcpu(g.vm, 0, &g.vcpu), 0);
    SOFT_TEST_VCPU(g.vcpu);
    g.run = g.vcpu->run;
    return g;
}

static void drop(struct guest *g)
{
    ops->destroy_vm(g->vm);
    free(g->ram);
}

static void start(struct guest *g, uint64_t rip)
{
    struct kvm_regs r = { .rip = rip, .rflags = 2, .rsp = 0x7000 };

    CHECK_EQ(ops->set_regs(g->vcpu, &r), 0);
}

/* Real mode, all bases zero. */
static void real_mode(struct guest *g)
{
    struct kvm_sregs s;

    CHECK_EQ(ops->get_sregs(g->vcpu, &s), 0);
    s.cs.base = 0;
    s.cs.selector = 0;
    CHECK_EQ(ops->set_sregs(g->vcpu, &s), 0);
    start(g, CODE);
}

static void flat(struct guest *g, bool long64)
{
    struct kvm_segment seg = {
        .limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1
    };
    struct kvm_sregs s;

    CHECK_EQ(ops->get_sregs(g->vcpu, &s), 0);
    s.ds = s.es = s.fs = s.gs = s.ss = seg;
    seg.type = 11;
    seg.selector = 8;
    seg.db = !long64;
    seg.l = long64;
    s.cs = seg;
    s.cr0 |= 1;
    if (long64) {
        uint64_t pte[3] = { 0x2003, 0x3003, 0x83 };
        for (unsigned i = 0; i < 3; i++)
            memcpy(g->ram + 0x1000 * (i + 1), &pte[i], 8);
        s.cr3 = 0x1000;
        s.cr4 = 0x20;
        s.efer = 0x500;
        s.cr0 |= 0x80000000;
    }
    CHECK_EQ(ops->set_sregs(g->vcpu, &s), 0);
    start(g, CODE);
}

static uint64_t rax(struct guest *g)
{
    struct kvm_regs r;

    CHECK_EQ(ops->get_regs(g->vcpu, &r), 0);
    return r.rax;
}

static uint64_t rip(struct guest *g)
{
    struct kvm_regs r;

    CHECK_EQ(ops->get_regs(g->vcpu, &r), 0);
    return r.rip;
}

/* Runs to the next OUT and returns what it put out; -1 for another exit. */
static int64_t out(struct guest *g)
{
    uint32_t v = 0;

    CHECK_EQ(ops->run(g->vcpu), 0);
    if (g->run->exit_reason != KVM_EXIT_IO || g->run->io.direction != KVM_EXIT_IO_OUT)
        return -1;
    memcpy(&v, (uint8_t *)g->run + g->run->io.data_offset, g->run->io.size);
    return v;
}

static void modes(void)
{
    struct guest g = make(false);

    /* add ax, 5; out 0x10, ax; in al, 0x11; hlt */
    static const uint8_t code16[] = { 0x05, 5, 0, 0xe7, 0x10, 0xe4, 0x11, 0xf4 };
    real_mode(&g);
    put(&g, CODE, code16, sizeof(code16));
    CHECK_EQ(out(&g), 5);
    CHECK_EQ(g.run->io.port, 0x10);
    CHECK_EQ(g.run->io.size, 2);
    CHECK_EQ(g.run->io.count, 1);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_IO);
    CHECK_EQ(g.run->io.direction, KVM_EXIT_IO_IN);
    CHECK_EQ(g.run->io.port, 0x11);
    *((uint8_t *)g.run + g.run->io.data_offset) = 0x77;
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(rax(&g), 0x77);
    CHECK_EQ(rip(&g), CODE + 8);

    /* The same bytes, as 32-bit code. */
    flat(&g, false);
    put(&g, CODE, BYTES(0x05, 1, 0, 1, 0, 0xe7, 0x10));
    CHECK_EQ(out(&g), 0x10001);
    CHECK_EQ(g.run->io.size, 4);

    /* 64-bit: mov rax, [rip+1]; hlt; data */
    flat(&g, true);
    put(&g, CODE, BYTES(0x48, 0x8b, 0x05, 1, 0, 0, 0, 0xf4, 1, 2, 3, 4, 5, 6, 7, 8));
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(rax(&g), 0x0807060504030201);

    /* No IDT: triple fault. */
    put(&g, CODE, BYTES(0x0f, 0x0b));
    ops->memory_written(g.vm, CODE, 2);
    start(&g, CODE);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_SHUTDOWN);
    drop(&g);
}

static void mmio(void)
{
    struct guest g = make(false);

    /* add [0x10000000], eax; inc eax; hlt */
    flat(&g, false);
    put(&g, CODE, BYTES(0x01, 0x05, 0, 0, 0, 0x10, 0x40, 0xf4));
    struct kvm_regs r = { .rip = CODE, .rflags = 2, .rax = 3 };
    CHECK_EQ(ops->set_regs(g.vcpu, &r), 0);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_MMIO);
    CHECK_EQ(g.run->mmio.phys_addr, 0x10000000);
    CHECK_EQ(g.run->mmio.len, 4);
    CHECK(!g.run->mmio.is_write);
    memcpy(g.run->mmio.data, &(uint32_t){ 40 }, 4);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_MMIO);
    CHECK(g.run->mmio.is_write);
    CHECK_EQ(g.run->mmio.data[0], 43);
    /* immediate_exit: the instruction is finished, no more. */
    g.run->immediate_exit = 1;
    CHECK_EQ(ops->run(g.vcpu), -EINTR);
    CHECK_EQ(rip(&g), CODE + 6);
    g.run->immediate_exit = 0;
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(rax(&g), 4);
    drop(&g);
}

static void timer(void)
{
    struct guest g = make(true);

    /* Real mode: PIC vectors at 8, PIT channel 0 rate 1 ms, sti, hlt, out. */
    static const uint8_t code[] = {
        0xb0, 0x11, 0xe6, 0x20, 0xb0, 0x08, 0xe6, 0x21, 0xb0, 0x04, 0xe6, 0x21,
        0xb0, 0x01, 0xe6, 0x21, 0xb0, 0xfe, 0xe6, 0x21,                         /* PIC */
        0xb0, 0x34, 0xe6, 0x43, 0xb0, 0xa9, 0xe6, 0x40, 0xb0, 0x04, 0xe6, 0x40, /* PIT */
        0xfb, 0xf4, 0x88, 0xd8, 0xe6, 0x80, /* sti; hlt; mov al, bl; out 0x80, al */
        0xeb, 0xf9                          /* jmp to hlt */
    };
    /* inc bx; mov al, 0x20; out 0x20, al; iret */
    static const uint8_t handler[] = { 0x43, 0xb0, 0x20, 0xe6, 0x20, 0xcf };
    real_mode(&g);
    put(&g, CODE, code, sizeof(code));
    put(&g, 0x9000, handler, sizeof(handler));
    put(&g, 8 * 4, BYTES(0x00, 0x90, 0, 0));
    int64_t last = 0; /* a busy host may let several ticks pass */
    for (unsigned i = 1; i <= 3; i++) {
        int64_t now = out(&g);
        CHECK(now > last);
        CHECK_EQ(g.run->io.port, 0x80);
        last = now;
    }
    drop(&g);
}

static void self_modifying(void)
{
    struct guest g = make(false);

    /* Its own block: mov byte [CODE+9], 7; nop; mov al, 1 -> 7; out 0x10, al */
    flat(&g, false);
    put(&g, CODE, BYTES(0xc6, 0x05, 0x09, 0x80, 0, 0, 7, 0x90, 0xb0, 1, 0xe6, 0x10));
    CHECK_EQ(out(&g), 7);

    /* A block that ran before: call f; inc byte [f+1]; loop. f: mov al, 0; ret */
    static const uint8_t loop[] = {
        0xe8, 0xfb, 0x0f, 0,    0, 0xe6, 0x10,      /* call 0x9000; out 0x10, al */
        0xfe, 0x05, 0x01, 0x90, 0, 0,    0xeb, 0xf1 /* inc byte [0x9001]; jmp CODE */
    };
    put(&g, CODE, loop, sizeof(loop));
    put(&g, 0x9000, BYTES(0xb0, 0, 0xc3));
    ops->memory_written(g.vm, CODE, sizeof(loop));
    start(&g, CODE);
    for (unsigned i = 0; i < 200; i++)
        CHECK_EQ(out(&g), i);

    /* By a device. */
    put(&g, 0x9000, BYTES(0xb0, 0xee));
    ops->memory_written(g.vm, 0x9000, 2);
    CHECK_EQ(out(&g), 0xef); /* INC came before the call */
    /* Data beside code costs nothing but time. */
    put(&g, CODE,
        BYTES(0xe8, 0xfb, 0x0f, 0, 0, 0xe6, 0x10, 0xfe, 0x05, 0x00, 0x91, 0, 0, 0xeb, 0xf1));
    ops->memory_written(g.vm, CODE, 15);
    start(&g, CODE);
    for (unsigned i = 0; i < 5; i++)
        CHECK_EQ(out(&g), 0xef);
    CHECK_EQ(g.ram[0x9100], 4);
    drop(&g);
}

/* An instruction in two pages: changed in each, by itself and by a device. */
static void crossing(void)
{
    struct guest g = make(false);
    /* call 0x9ffd; out 0x10, eax; inc byte [0x9ffe]; inc byte [0xa000]; jmp CODE */
    static const uint8_t loop[] = { 0xe8, 0xf8, 0x1f, 0,    0, 0xe7, 0x10, 0xfe, 0x05, 0xfe, 0x9f,
                                    0,    0,    0xfe, 0x05, 0, 0xa0, 0,    0,    0xeb, 0xeb };

    flat(&g, false);
    put(&g, CODE, loop, sizeof(loop));
    put(&g, 0x9ffd, BYTES(0xb8, 0x20, 0x30, 0x40, 0x50, 0xc3)); /* mov eax, imm32; ret */
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(out(&g), 0x50403020 + i * 0x10001);
    put(&g, 0xa001, BYTES(0x77));
    ops->memory_written(g.vm, 0xa001, 1);
    CHECK_EQ(out(&g), 0x77a43084);
    /* Another length, and then one that ends with its page */
    put(&g, 0x9ffd, BYTES(0x66, 0xb8, 0x34, 0x12, 0xc3)); /* mov ax, 0x1234 */
    ops->memory_written(g.vm, 0x9ffd, 5);
    put(&g, CODE + 7, BYTES(0xeb, 0xf7));
    ops->memory_written(g.vm, CODE + 7, 2);
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ(out(&g) & 0xffff, 0x1234);
    put(&g, 0x9ffd, BYTES(0xb0, 0x55, 0x90));
    ops->memory_written(g.vm, 0x9ffd, 3);
    put(&g, 0xa000, BYTES(0xc3));
    ops->memory_written(g.vm, 0xa000, 1);
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ(out(&g) & 0xffff, 0x1255);
    drop(&g);

    /* A loop of nothing else, ended by a counter: loop to itself across the page's end */
    g = make(false);
    flat(&g, false);
    put(&g, CODE, BYTES(0xb9, 0x10, 0x27, 0, 0, 0xe9, 0xf5, 0x1f, 0, 0)); /* mov ecx; jmp 0x9fff */
    put(&g, 0x9fff, BYTES(0xe2, 0xfe, 0x89, 0xc8, 0xe7, 0x10)); /* loop .; mov eax, ecx; out */
    CHECK_EQ(out(&g), 0);
    drop(&g);
}

/* The same user code in two address spaces with PCIDs, which change places at each system call. An
 * instruction begins in a page they share and ends in one of each. */
static void spaces(void)
{
    enum { A = 0x1000, B = 0x10000, SHARED = 0x20000, OF_A = 0x21000, OF_B = 0x22000 };
    const uint64_t user = 0x40000000, tables[][2] = {
        { A, 0x2007 },         { 0x2000, 0x3007 },   { 0x2008, 0x4007 },
        { 0x3000, 0x87 },      { 0x4000, 0x5007 },   { 0x5000, SHARED | 7 },
        { 0x5008, OF_A | 7 },  { B, 0x11007 },       { 0x11000, 0x3007 },
        { 0x11008, 0x12007 },  { 0x12000, 0x13007 }, { 0x13000, SHARED | 7 },
        { 0x13008, OF_B | 7 },
    };
    struct {
        uint32_t nmsrs, pad; /* a struct kvm_msrs, which has no size */
        struct kvm_msr_entry e[2];
    } msrs = { .nmsrs = 2,
               .e = { { .index = 0xc0000081, .data = 0x0010000800000000 },
                      { .index = 0xc0000082, .data = CODE } } };
    struct kvm_regs r = {
        .rip = user, .rflags = 2, .rsp = 0x7000, .rsi = (A | 1) ^ (B | 2), .rdi = 1ull << 63
    };
    struct guest g = make(false);
    struct kvm_sregs s;

    for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        memcpy(g.ram + tables[i][0], &tables[i][1], 8);
    /* call +0xff8; syscall; jmp user */
    put(&g, SHARED, BYTES(0xe8, 0xf8, 0x0f, 0, 0, 0x0f, 0x05, 0xeb, 0xf7));
    put(&g, SHARED + 0xffd, BYTES(0xb8, 0x20, 0x30)); /* mov eax, imm32; ret */
    put(&g, OF_A, BYTES(0x40, 0x50, 0xc3));
    put(&g, OF_B, BYTES(0x60, 0x70, 0xc3));
    /* out 0x10, eax; mov rdx, cr3; xor rdx, rsi; or rdx, rdi; mov cr3, rdx; sysretq */
    put(&g, CODE,
        BYTES(0xe7, 0x10, 0x0f, 0x20, 0xda, 0x48, 0x31, 0xf2, 0x48, 0x09, 0xfa, 0x0f, 0x22, 0xda,
              0x48, 0x0f, 0x07));
    flat(&g, true);
    for (unsigned i = 0; i < sizeof(tables) / sizeof(*tables); i++)
        memcpy(g.ram + tables[i][0], &tables[i][1], 8);
    CHECK_EQ(ops->get_sregs(g.vcpu, &s), 0);
    s.cs.dpl = s.ss.dpl = 3;
    s.cs.selector = 0x23;
    s.ss.selector = 0x1b;
    s.cr3 = A | 1;
    s.cr4 |= 0x20000; /* PCIDE */
    s.efer |= 1;
    CHECK_EQ(ops->set_sregs(g.vcpu, &s), 0);
    CHECK_EQ(ops->set_msrs(g.vcpu, (struct kvm_msrs *)&msrs), 2);
    CHECK_EQ(ops->set_regs(g.vcpu, &r), 0);
    for (unsigned i = 0; i < 200; i++)
        CHECK_EQ(out(&g), i & 1 ? 0x70603020 : 0x50403020);
    put(&g, OF_B, BYTES(0x61));
    ops->memory_written(g.vm, OF_B, 1);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(out(&g), i & 1 ? 0x70613020 : 0x50403020);
    /* One of them now leads to the other's page: only a flush makes that certain. */
    const uint64_t pte = OF_B | 7;
    memcpy(g.ram + 0x5008, &pte, 8);
    CHECK_EQ(ops->get_regs(g.vcpu, &r), 0);
    r.rdi = 0;
    CHECK_EQ(ops->set_regs(g.vcpu, &r), 0);
    for (unsigned i = 0; i < 3; i++) /* the old value may come once more */
        out(&g);
    for (unsigned i = 0; i < 20; i++)
        CHECK_EQ(out(&g), 0x70613020);
    drop(&g);
}

static void *kicker(void *arg)
{
    struct guest *g = arg;

    while (!__atomic_load_n(&g->ram[0x100], __ATOMIC_ACQUIRE))
        sched_yield();
    ops->kick(g->vcpu);
    return NULL;
}

static void kick(void)
{
    pthread_t t;

    for (unsigned halted = 0; halted < 2; halted++) {
        struct guest g = make(halted);
        flat(&g, false);
        /* inc byte [0x100]; then jmp $, or hlt with interrupts off */
        put(&g, CODE, BYTES(0xfe, 0x05, 0, 1, 0, 0, 0xeb, 0xfe));
        if (halted)
            put(&g, CODE + 6, BYTES(0xf4, 0xf4));
        CHECK_EQ(pthread_create(&t, NULL, kicker, &g), 0);
        CHECK_EQ(ops->run(g.vcpu), -EINTR);
        CHECK_EQ(g.run->exit_reason, KVM_EXIT_INTR);
        pthread_join(t, NULL);
        /* Before run: consumed by the next call. */
        ops->kick(g.vcpu);
        CHECK_EQ(ops->run(g.vcpu), -EINTR);
        drop(&g);
    }
}

static void debugging(void)
{
    struct guest g = make(false);
    struct kvm_guest_debug d = { .control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP };

    flat(&g, false);
    put(&g, CODE, BYTES(0x40, 0x40, 0x40, 0xcc, 0x40, 0xf4)); /* inc eax ×3; int3; inc; hlt */
    CHECK_EQ(ops->set_guest_debug(g.vcpu, &d), 0);
    for (unsigned i = 1; i <= 2; i++) {
        CHECK_EQ(ops->run(g.vcpu), 0);
        CHECK_EQ(g.run->exit_reason, KVM_EXIT_DEBUG);
        CHECK_EQ(g.run->debug.arch.exception, 1);
        CHECK_EQ(g.run->debug.arch.pc, CODE + i);
        CHECK_EQ(g.run->debug.arch.dr6 & 0x4000, 0x4000);
    }
    d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
    CHECK_EQ(ops->set_guest_debug(g.vcpu, &d), 0);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_DEBUG);
    CHECK_EQ(g.run->debug.arch.exception, 3);
    CHECK_EQ(g.run->debug.arch.pc, CODE + 3);
    CHECK_EQ(rip(&g), CODE + 3);
    d.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;
    d.arch.debugreg[0] = CODE + 5;
    d.arch.debugreg[7] = 2;
    CHECK_EQ(ops->set_guest_debug(g.vcpu, &d), 0);
    start(&g, CODE + 4);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_DEBUG);
    CHECK_EQ(g.run->debug.arch.pc, CODE + 5);
    CHECK_EQ(g.run->debug.arch.dr6 & 15, 1);
    d.control = 0;
    CHECK_EQ(ops->set_guest_debug(g.vcpu, &d), 0);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_HLT);
    drop(&g);
}

/* Interrupt controllers emulated by the caller. */
static void user_interrupts(void)
{
    struct guest g = make(false);
    const struct kvm_interrupt irq = { .irq = 0x21 };

    real_mode(&g);
    put(&g, CODE, BYTES(0x90, 0xfb, 0x90, 0xf4));         /* nop; sti; nop; hlt */
    put(&g, 0x9000, BYTES(0xb0, 0x55, 0xe6, 0x10, 0xcf)); /* mov al, 0x55; out 0x10, al; iret */
    put(&g, 0x21 * 4, BYTES(0x00, 0x90, 0, 0));
    g.run->request_interrupt_window = 1;
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_IRQ_WINDOW_OPEN);
    CHECK_EQ(rip(&g), CODE + 3);
    CHECK(g.run->ready_for_interrupt_injection);
    g.run->request_interrupt_window = 0;
    CHECK_EQ(ops->interrupt(g.vcpu, &irq), 0);
    CHECK_EQ(ops->interrupt(g.vcpu, &irq), -EEXIST);
    CHECK_EQ(out(&g), 0x55);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_HLT);
    CHECK_EQ(rip(&g), CODE + 4);
    drop(&g);
}

static void slots(void)
{
    struct guest g = make(false);
    uint8_t *more = aligned_alloc(4096, 0x4000);
    uint64_t bitmap[1] = { 0 };
    struct kvm_userspace_memory_region r = { .slot = 1,
                                             .guest_phys_addr = RAM - 0x1000,
                                             .memory_size = 0x4000,
                                             .userspace_addr = (uintptr_t)more };
    struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };

    memset(more, 0, 0x4000);
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), -EEXIST);
    r.guest_phys_addr = 0x10000800;
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), -EINVAL);
    r.guest_phys_addr = 0x10000000;
    r.flags = KVM_MEM_LOG_DIRTY_PAGES;
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), 0);
    /* inc dword [0x10001000]; lock inc dword [0x10003000]; out 0x10, al; jmp CODE */
    flat(&g, false);
    put(&g, CODE,
        BYTES(0xff, 0x05, 0, 0x10, 0, 0x10, 0xf0, 0xff, 0x05, 0, 0x30, 0, 0x10, 0xe6, 0x10, 0xeb,
              0xef));
    CHECK_EQ(out(&g), 0);
    CHECK_EQ(ops->get_dirty_log(g.vm, &log), 0);
    CHECK_EQ(bitmap[0], 0xa);
    CHECK_EQ(ops->get_dirty_log(g.vm, &log), 0);
    CHECK_EQ(bitmap[0], 0);
    CHECK_EQ(out(&g), 0);
    CHECK_EQ(ops->get_dirty_log(g.vm, &log), 0);
    CHECK_EQ(bitmap[0], 0xa);
    CHECK_EQ(more[0x1000], 2);
    CHECK_EQ(more[0x3000], 2);
    log.slot = 0;
    CHECK_EQ(ops->get_dirty_log(g.vm, &log), -ENOENT);

    /* Read-only: stores are the caller's. */
    r.flags = KVM_MEM_READONLY;
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), 0);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_MMIO);
    CHECK(g.run->mmio.is_write);
    CHECK_EQ(g.run->mmio.phys_addr, 0x10001000);
    CHECK_EQ(g.run->mmio.data[0], 3);
    CHECK_EQ(more[0x1000], 2);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->mmio.phys_addr, 0x10003000);
    CHECK_EQ(out(&g), 0);

    /* Gone. */
    r.memory_size = 0;
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), 0);
    CHECK_EQ(ops->set_user_memory_region(g.vm, &r), -EINVAL);
    CHECK_EQ(ops->run(g.vcpu), 0);
    CHECK_EQ(g.run->exit_reason, KVM_EXIT_MMIO);
    CHECK(!g.run->mmio.is_write);
    drop(&g);
    free(more);
}

/* What is set is what is got; what cannot be is refused. */
static void state(void)
{
    struct guest g = make(true);
    struct kvm_regs r, r2;
    struct kvm_sregs s, s2;
    struct kvm_fpu f, f2;
    struct kvm_xsave x;
    struct kvm_vcpu_events e;
    struct kvm_debugregs d;
    struct kvm_mp_state mp;
    struct kvm_translation t = { .linear_address = CODE + 5 };
    struct {
        uint32_t nmsrs, pad; /* a struct kvm_msrs, which has no size */
        struct kvm_msr_entry entry[3];
    } m = { .nmsrs = 3,
            .entry = { { .index = 0xc0000082, .data = 0xffffffff81000000 },
                       { .index = 0x174, .data = 0x10 },
                       { .index = 0xdeadbeef } } };

    memset(&r, 0x11, sizeof(r));
    r.rflags = 0x246;
    flat(&g, true);
    CHECK_EQ(ops->set_regs(g.vcpu, &r), 0);
    CHECK_EQ(ops->get_regs(g.vcpu, &r2), 0);
    CHECK(!memcmp(&r, &r2, sizeof(r)));
    CHECK_EQ(ops->get_sregs(g.vcpu, &s), 0);
    CHECK_EQ(s.cs.l, 1);
    CHECK_EQ(s.apic_base, 0xfee00900);
    CHECK_EQ(ops->set_sregs(g.vcpu, &s), 0);
    CHECK_EQ(ops->get_sregs(g.vcpu, &s2), 0);
    CHECK(!memcmp(&s, &s2, sizeof(s)));
    s.cr4 = 0; /* long mode without PAE */
    CHECK_EQ(ops->set_sregs(g.vcpu, &s), -EINVAL);
    CHECK_EQ(ops->translate(g.vcpu, &t), 0);
    CHECK(t.valid);
    CHECK_EQ(t.physical_address, CODE + 5);

    CHECK_EQ(ops->get_fpu(g.vcpu, &f), 0);
    CHECK_EQ(f.fcw, 0x37f); /* FNINIT's: the FPU is in XSAVE's initial state */
    CHECK_EQ(f.mxcsr, 0x1f80);
    for (unsigned i = 0; i < 8; i++)
        memset(f.fpr[i], 3, 10); /* the rest of the 16 is reserved */
    memset(f.xmm, 4, sizeof(f.xmm));
    f.fsw = 0x3800;
    f.ftwx = 0x80;
    CHECK_EQ(ops->set_fpu(g.vcpu, &f), 0);
    CHECK_EQ(ops->get_fpu(g.vcpu, &f2), 0);
    CHECK(!memcmp(&f, &f2, sizeof(f)));
    f.mxcsr = 0x10000;
    CHECK_EQ(ops->set_fpu(g.vcpu, &f), -EINVAL);
    CHECK_EQ(ops->get_xsave(g.vcpu, &x), 0);
    CHECK_EQ(x.region[40], 0x04040404);
    CHECK_EQ(ops->set_xsave(g.vcpu, &x), 0);
    x.region[130] = 1; /* compacted */
    CHECK_EQ(ops->set_xsave(g.vcpu, &x), -EINVAL);

    CHECK_EQ(ops->set_msrs(g.vcpu, (struct kvm_msrs *)&m), 2);
    m.entry[0].data = m.entry[1].data = 0;
    CHECK_EQ(ops->get_msrs(g.vcpu, (struct kvm_msrs *)&m), 2);
    CHECK_EQ(m.entry[0].data, 0xffffffff81000000);
    CHECK_EQ(m.entry[1].data, 0x10);

    CHECK_EQ(ops->get_vcpu_events(g.vcpu, &e), 0);
    e.exception.injected = 1;
    e.exception.nr = 13;
    e.exception.has_error_code = 1;
    e.exception.error_code = 0x40;
    CHECK_EQ(ops->set_vcpu_events(g.vcpu, &e), 0);
    memset(&e, 0, sizeof(e));
    CHECK_EQ(ops->get_vcpu_events(g.vcpu, &e), 0);
    CHECK_EQ(e.exception.nr, 13);
    CHECK_EQ(e.exception.error_code, 0x40);
    CHECK_EQ(ops->get_debugregs(g.vcpu, &d), 0);
    CHECK_EQ(d.dr6, 0xffff0ff0);
    CHECK_EQ(ops->set_debugregs(g.vcpu, &d), 0);
    CHECK_EQ(ops->get_mp_state(g.vcpu, &mp), 0);
    CHECK_EQ(mp.mp_state, KVM_MP_STATE_RUNNABLE);
    mp.mp_state = 77;
    CHECK_EQ(ops->set_mp_state(g.vcpu, &mp), -EINVAL);
    CHECK(ops->get_tsc_khz(g.vcpu) > 100000);
    drop(&g);
}

int main(void)
{
    const struct engine_options opt = { .soft = SOFT_TEST_MODE };

    CHECK_EQ(ops->open(&engine, &opt), 0);
    modes();
    mmio();
    timer();
    self_modifying();
    crossing();
    spaces();
    kick();
    debugging();
    user_interrupts();
    slots();
    state();
    SOFT_TEST_MORE();
    ops->close(engine);
    return unit_done(SOFT_TEST_NAME);
}
