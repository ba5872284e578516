/* SPDX-License-Identifier: BSD-2-Clause */
/* The translator against the interpreter: IRET of 64-bit code, with frames, descriptors, flags and
 * pending events of all kinds; POPF there. */
static void rings(void);
#define XL_TEST_NAME "xl_ring"
#define XL_TEST_MORE rings
#include "tests/unit/xl.c"

enum { GDT = 0x6000, ENTRIES = 16, IDT = 0x7600, TSS = 0x7e00, GATES = 32 };

/* Of one case, the same for both. */
static struct {
    uint64_t desc[ENTRIES], base;
    uint16_t limit;
    uint64_t flags[2]; /* of the first frame and the second */
    uint8_t data_dpl[4], unusable, nmi, window, user;
} the;

/* CS and SS of ring 0, of ring 3, and less usual ones. */
static const uint64_t usual[] = {
    0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cff3000000ffff, 0x00affb000000ffff,
    0x00209b0000000000, 0x00009300000000ff, 0x0020fb0000000000, 0x0000f3000000ffff,
    0x00cffb000000ffff, 0x00af9f000000ffff, 0x00afff000000ffff,
};

static uint64_t random_desc(void)
{
    uint64_t d = usual[rnd(sizeof(usual) / sizeof(usual[0]))];

    if (rnd(2))
        d ^= (uint64_t)1 << rnd(64);
    if (!rnd(4))
        d ^= (uint64_t)1 << (40 + rnd(16));
    return d;
}

static void choose(void)
{
    static const uint16_t limits[] = { 8 * ENTRIES - 1, 8 * ENTRIES - 1, 0x3f, 0x2e, 0x1f, 0xffff };

    the.desc[0] = rnd(4) ? usual[rnd(4)] : rnd(2) ? 0 : random_desc();
    for (unsigned i = 1; i < ENTRIES; i++)
        the.desc[i] = i < 5 && rnd(16) ? usual[i - 1] : random_desc();
    the.base = GDT + (rnd(4) ? 0 : rnd(4) ? 8 * rnd(600) : rnd(0x1100));
    the.limit = limits[rnd(3) ? 0 : rnd(6)];
    for (unsigned i = 0; i < 4; i++)
        the.data_dpl[i] = rnd(3) ? 3 : 0;
    the.unusable = (uint8_t)(rnd(4) ? 15 : rnd(16));
    the.nmi = (uint8_t)rnd(2);
    the.window = !rnd(3);
    the.user = !rnd(12);
}

/* All exceptions end in a HLT at code_at + 0x220, or 0x230 with an error code, on a stack of their
 * own; see handlers(). */
static void interrupts(struct guest *g, struct kvm_sregs *s)
{
    const uint64_t rsp = DATA + 0xf000;

    for (unsigned i = 0; i < GATES; i++) {
        const bool error = i == 8 || (i >= 10 && i <= 14) || i == 17;
        const uint64_t off = code_at + (error ? 0x230 : 0x220);
        const uint64_t gate = 0x00008e0100080000 | (off & 0xffff) | off >> 16 << 48;
        le64_put(g->ram + IDT + 16 * i, gate);
    }
    s->idt.base = IDT;
    /* None where a handler might run in ring 3 or nowhere. */
    s->idt.limit = the.desc[1] == usual[0] ? 16 * GATES - 1 : 0;
    s->tr = (struct kvm_segment){
        .base = TSS, .limit = 0x67, .selector = 0x50, .type = 11, .present = 1
    };
    le64_put(g->ram + TSS + 36, rsp); /* IST 1 */
}

/* What nobody reads of the flags may be wrong where they are pushed. */
static void handlers(uint8_t *code)
{
    memcpy(code + 0x220, "\x81\x64\x24\x10\x2a\xf7\xff\xff\xf4", 9); /* and dword [rsp + 16] */
    memcpy(code + 0x230, "\x81\x64\x24\x18\x2a\xf7\xff\xff\xf4", 9);
}

static void set_up(struct guest *g, struct kvm_sregs *s)
{
    union {
        struct kvm_msrs head;
        uint8_t room[sizeof(struct kvm_msrs) + 3 * sizeof(struct kvm_msr_entry)];
    } m = { .head = { .nmsrs = 3 } };
    struct kvm_segment *data[] = { &s->es, &s->ds, &s->fs, &s->gs };
    struct kvm_vcpu_events events;

    m.head.entries[0] = (struct kvm_msr_entry){ .index = MSR_STAR, .data = 0x0033002000000000 };
    m.head.entries[1] = (struct kvm_msr_entry){ .index = MSR_LSTAR, .data = code_at + 0x200 };
    m.head.entries[2] = (struct kvm_msr_entry){ .index = 0xc0000084, .data = 0x257fd5 };
    for (unsigned i = 1; i < 4; i++)
        for (unsigned k = 0; k < 512; k++)
            g->ram[0x1000 * i + 8 * k] |= g->ram[0x1000 * i + 8 * k] & 1 ? 4 : 0;
    memset(g->ram + GDT, 0, 0x2000);
    memcpy(g->ram + the.base, the.desc, sizeof(the.desc));
    s->efer |= 1;
    interrupts(g, s);
    s->gdt.base = the.base;
    s->gdt.limit = the.limit;
    for (unsigned i = 0; i < 4; i++) {
        data[i]->dpl = the.data_dpl[i];
        data[i]->unusable = the.unusable >> i & 1;
    }
    if (the.user) {
        s->cs.dpl = s->ss.dpl = 3;
        s->cs.selector = 0x23;
        s->ss.selector = 0x1b;
    }
    CHECK_EQ(ops->set_msrs(g->vcpu, &m.head), 3);
    CHECK_EQ(ops->get_vcpu_events(g->vcpu, &events), 0);
    events.nmi.masked = the.nmi;
    CHECK_EQ(ops->set_vcpu_events(g->vcpu, &events), 0);
    g->run->request_interrupt_window = the.window;
}

/* What no other test has left behind. */
static void clean_up(struct guest *g)
{
    struct kvm_vcpu_events events;

    CHECK_EQ(ops->get_vcpu_events(g->vcpu, &events), 0);
    events.nmi.masked = 0;
    CHECK_EQ(ops->set_vcpu_events(g->vcpu, &events), 0);
    g->run->request_interrupt_window = 0;
}

static unsigned push(uint8_t *p, uint64_t v)
{
    memcpy(p, "\x48\xb8", 2); /* mov rax, v; push rax */
    memcpy(p + 2, &v, 8);
    p[10] = 0x50;
    return 11;
}

static uint64_t random_selector(bool cs)
{
    uint64_t sel;

    switch (rnd(16)) {
    case 0: sel = rnd(8 * ENTRIES + 16); break;
    case 1: sel = rnd(2) ? 3 : rnd(4); break;
    case 2: sel = (8 + 8 * rnd(4)) | rnd(4); break;
    case 3:
    case 4:
    case 5:
    case 6:
    case 7: sel = cs ? 0x08 : 0x10; break;
    default: sel = cs ? 0x23 : 0x1b; break;
    }
    return rnd(8) ? sel : sel | (uint64_t)rnd(1 << 24) << 16;
}

static uint64_t random_rflags(void)
{
    static const uint64_t flags[] = { 0x2,      0x202,   0x246,  0xad7,
                                      0x10202,  0x3202,  0x4202, 0x40202,
                                      0x200a93, 0x20202, 0x302,  0x180002,
                                      0x10246,  0x108d5, 0,      0xffffffff00000202 };

    return rnd(12) ? flags[rnd(2) ? rnd(6) : rnd(16)] : (uint64_t)rnd(1 << 24);
}

static void start_registers(struct kvm_regs *r)
{
    r->r12 = the.flags[1];
    r->r13 = the.flags[0];
    r->r14 = r->rsp;
    r->r15 = 1;
}

/* Pushes a frame and returns by it: there the flags are taken, then SYSCALL. Twice, for the second
 * time the way is known. */
static void returns(unsigned count)
{
    uint64_t user_rsp;

    prepare = set_up;
    give = start_registers;
    flags_compared = FLAGS_COMPARED | X86_IF | X86_DF | X86_IOPL | X86_NT | X86_AC | X86_ID;
    for (unsigned i = 0; i < count; i++) {
        static uint8_t code[0x240];
        unsigned n = 0;
        choose();
        memset(code, 0xf4, sizeof(code));
        const uint64_t cs = random_selector(true);
        uint64_t ss = random_selector(false);
        if (rnd(4))
            ss = (cs & 3) == 3 ? 0x1b : rnd(2) ? 0x10 : 0;
        user_rsp = rnd(8) ? DATA + 0x2000 + 8 * rnd(0x400) : (uint64_t)rnd(1 << 24) << 40;
        if (!the.user && rnd(8)) { /* mov rax, [GDT]: now it is in the TLB */
            const uint32_t at = (uint32_t)the.base + 8;
            memcpy(code + n, "\x48\x8b\x04\x25", 4);
            memcpy(code + n + 4, &at, 4);
            n += 8;
        }
        n += push(code + n, ss);
        n += push(code + n, user_rsp);
        memcpy(code + n, "\x41\x55", 2); /* push r13 */
        n += 2;
        n += push(code + n, cs);
        memcpy(code + n, "\x48\x8d\x05", 3); /* lea rax, [rip + to 0x100] */
        const uint32_t d = (uint32_t)(0x100 - (n + 7));
        memcpy(code + n + 3, &d, 4);
        n += 7;
        if (!rnd(16)) { /* not canonical */
            memcpy(code + n, "\x48\x0f\xba\xe8\x2f", 5);
            n += 5;
        }
        code[n++] = 0x50;
        if (!rnd(16)) { /* the frame in two pages, or at an odd place */
            memcpy(code + n, "\x48\x81\xec", 3);
            const uint32_t by = rnd(2) ? 0xfd0 - 40 : rnd(64);
            memcpy(code + n + 3, &by, 4);
            n += 7;
        }
        if (rnd(8))
            code[n++] = 0x48;
        code[n++] = 0xcf;
        static const uint32_t change[] = {
            0, 0x200, 0x3000, 0x100, 0x4000, 0x8d5, 0x200600, 0x200
        };
        /* pushf; xor dword [rsp], …; popf; pushf; pop rbx; syscall */
        memcpy(code + 0x100, "\x9c\x81\x34\x24", 4);
        le32_put(code + 0x104, change[rnd(8)]);
        memcpy(code + 0x108, "\x9d\x9c\x5b\x0f\x05", 5);
        /* mov rsp, r14; pushf; pop rdx; mov r13, r12; dec r15; jns to the start; hlt */
        memcpy(code + 0x200, "\x4c\x89\xf4\x9c\x5a\x4d\x89\xe5\x49\xff\xcf\x0f\x89", 13);
        memcpy(code + 0x20d, &(int32_t){ -0x211 }, 4);
        handlers(code);
        the.flags[0] = random_rflags();
        the.flags[1] = rnd(2) ? the.flags[0] | X86_IF : random_rflags();
        start_flags = (rnd(3) ? X86_IF : 0) | (rnd(25) ? 0 : X86_AC) | (rnd(25) ? 0 : X86_NT) |
                      (rnd(4) ? 0 : X86_DF) | (rnd(2) ? 0x3000 : 0);
        bool ok = same(code, sizeof(code), true);
        struct kvm_vcpu_events events[2];
        for (unsigned k = 0; k < 2; k++)
            CHECK_EQ(ops->get_vcpu_events(pair[k].vcpu, &events[k]), 0);
        ok = ok && events[0].nmi.masked == events[1].nmi.masked &&
             !memcmp(pair[0].ram + GDT, pair[1].ram + GDT, 0x2000);
        CHECK(ok);
        if (!ok)
            fprintf(
                stderr, "case %u: cs %llx ss %llx flags %llx %llx start %llx user %u exits %u %u\n",
                i, (unsigned long long)cs, (unsigned long long)ss, (unsigned long long)the.flags[0],
                (unsigned long long)the.flags[1], (unsigned long long)start_flags, the.user,
                pair[0].run->exit_reason, pair[1].run->exit_reason);
    }
    give = NULL;
    clean_up(&pair[0]);
    clean_up(&pair[1]);
}

static void rings(void)
{
    returns(4000);
    hard = true;
    returns(500);
    hard = false;
    /* Both ways were taken. */
    const uint32_t slow = ((struct soft_vcpu *)pair[1].vcpu)->xl.emulated_op[X86_OP_IRET];
    CHECK(slow > 1000 && slow < 3500);
}
