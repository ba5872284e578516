/* SPDX-License-Identifier: BSD-2-Clause */
/* Stepping: exceptions up to the triple fault, single-step, breakpoints, I/O that is replayed.
 * Needs only a handful of instructions, hand-assembled. */
#include "tests/unit/fake_cpu.h"
#include "tests/unit/unit.h"

enum {
    CODE = 0x10000,
    HANDLERS = 0x20000, /* of vector v: HANDLERS + 16 * v */
    IDT = 0x5000,
    GDT = 0x6000,
    STACK = 0x30000,
};

#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void put_code(uint64_t gpa, const uint8_t *p, unsigned len)
{
    memcpy(fake_ram + gpa, p, len);
}

static void put_gate(unsigned vector, uint32_t off)
{
    le64_put(fake_ram + IDT + 8 * vector,
             (off & 0xffff) | 8ull << 16 | 0x8eull << 40 | (uint64_t)(off >> 16) << 48);
}

/* Flat 32-bit protected mode at CODE, an interrupt gate for each vector. */
static struct x86_cpu *machine(void)
{
    struct x86_cpu *cpu = fake_cpu();

    fake_protected(cpu, 0);
    le64_put(fake_ram + GDT + 8, 0x00cf9b000000ffff);
    le64_put(fake_ram + GDT + 16, 0x00cf93000000ffff);
    cpu->gdt = (struct x86_table){ GDT, 0x17 };
    cpu->idt = (struct x86_table){ IDT, 32 * 8 - 1 };
    for (unsigned v = 0; v < 32; v++)
        put_gate(v, HANDLERS + 16 * v);
    memset(fake_ram + CODE, 0x90, 0x1000);
    memset(fake_ram + HANDLERS, 0x90, 0x1000);
    cpu->rip = CODE;
    cpu->gpr[X86_RSP] = STACK;
    return cpu;
}

static uint32_t stack(const struct x86_cpu *cpu, unsigned index)
{
    return le32(fake_ram + cpu->gpr[X86_RSP] + 4 * index);
}

static void exceptions(void)
{
    struct x86_cpu *cpu = machine();

    put_code(CODE, BYTES(0x0f, 0x0b)); /* ud2 */
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_UD);
    CHECK_EQ(stack(cpu, 0), CODE);
    CHECK_EQ(stack(cpu, 1), 8);
    CHECK_EQ(stack(cpu, 2), X86_F1 | X86_RF);
    CHECK_EQ(cpu->rflags, X86_F1);

    /* A fetch that faults: beyond CS's limit. */
    cpu->seg[X86_CS].limit = CODE + 1;
    cpu->rip = CODE + 2;
    x86_state_changed(cpu);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_GP);
    CHECK_EQ(stack(cpu, 0), 0);
    CHECK_EQ(stack(cpu, 1), CODE + 2);

    /* Sixteen prefixes are one too many. */
    memset(fake_ram + CODE, 0x66, 16);
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_GP);

    /* From outside. */
    cpu->rip = CODE;
    cpu->rflags |= X86_IF;
    CHECK(x86_interrupt_ok(cpu));
    CHECK_EQ(x86_interrupt(cpu, 0x11), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * 0x11);
    CHECK_EQ(stack(cpu, 2), X86_F1 | X86_IF);
    CHECK(!x86_interrupt_ok(cpu));
    CHECK_EQ(x86_nmi(cpu), X86_EXIT_NONE);
    CHECK(!x86_nmi_ok(cpu));
    const struct x86_exception np = { .vector = X86_NP, .has_error = true, .error = 0x18 };
    x86_queue_exception(cpu, &np);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_NP);
    CHECK_EQ(stack(cpu, 0), 0x18);
    free(cpu);
}

static void double_fault(void)
{
    struct x86_cpu *cpu = machine();

    /* 32-bit paging, identity in the first 4 MiB but for page 0x300. */
    for (unsigned i = 0; i < 1024; i++)
        le32_put(fake_ram + 0x9000 + 4 * i, i << 12 | (i == 0x300 ? 0 : 7));
    le32_put(fake_ram + 0x8000, 0x9007);
    cpu->cr3 = 0x8000;
    cpu->cr0 |= X86_CR0_PG;
    x86_state_changed(cpu);

    put_code(CODE, BYTES(0xa1, 0x44, 0x00, 0x30, 0x00)); /* mov eax, [0x300044] */
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_PFV);
    CHECK_EQ(cpu->cr2, 0x300044);
    CHECK_EQ(stack(cpu, 0), 0);
    CHECK_EQ(stack(cpu, 1), CODE);

    /* #UD whose handler is not there: #NP alone. */
    fake_ram[IDT + 8 * X86_UD + 5] = 0x0e;
    put_code(CODE, BYTES(0x0f, 0x0b));
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_NP);
    CHECK_EQ(stack(cpu, 0), X86_UD << 3 | 2 | 1);

    /* #GP -> #NP: double fault. */
    fake_ram[IDT + 8 * X86_GP + 5] = 0x0e;
    put_code(CODE, BYTES(0x8e, 0xd9)); /* mov ds, cx */
    cpu->gpr[X86_RCX] = 0x80;
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_DF_VEC);
    CHECK_EQ(stack(cpu, 0), 0);
    CHECK_EQ(stack(cpu, 1), CODE);

    /* #PF with the stack on the page that is missing: #PF, #DF, triple fault. */
    put_code(CODE, BYTES(0xa1, 0x44, 0x00, 0x30, 0x00));
    cpu->rip = CODE;
    cpu->gpr[X86_RSP] = 0x300800;
    CHECK_EQ(x86_step(cpu), X86_EXIT_SHUTDOWN);

    /* The same in a block. */
    struct x86_insn insn[2];
    unsigned done;
    put_code(CODE, BYTES(0x90, 0x50)); /* nop; push eax */
    cpu->rip = CODE;
    CHECK(x86_fetch(cpu, &insn[0], NULL));
    cpu->rip++;
    CHECK(x86_fetch(cpu, &insn[1], NULL));
    x86_bind(&insn[0]);
    x86_bind(&insn[1]);
    cpu->rip = CODE;
    CHECK_EQ(x86_run(cpu, insn, 2, &done), X86_EXIT_SHUTDOWN);
    CHECK_EQ(done, 1);
    CHECK_EQ(cpu->rip, CODE + 1);
    cpu->gpr[X86_RSP] = STACK;
    cpu->rip = CODE;
    CHECK_EQ(x86_run(cpu, insn, 2, &done), X86_EXIT_NONE);
    CHECK_EQ(done, 2);
    CHECK_EQ(cpu->rip, CODE + 2);
    free(cpu);
}

static void single_step(void)
{
    struct x86_cpu *cpu = machine();

    cpu->rflags |= X86_TF;
    x86_derive(cpu);
    CHECK(cpu->debugging);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE); /* nop */
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_DB);
    CHECK_EQ(stack(cpu, 0), CODE + 1);
    CHECK_EQ(stack(cpu, 2), X86_F1 | X86_TF);
    CHECK_EQ(cpu->dr[6], 0xffff4ff0);
    CHECK(!cpu->debugging);

    /* The debugger's step is not the guest's. */
    cpu->rip = CODE;
    cpu->dbg.step = true;
    x86_derive(cpu);
    CHECK_EQ(x86_step(cpu), X86_EXIT_DEBUG);
    CHECK_EQ(cpu->rip, CODE + 1);
    CHECK_EQ(cpu->dbg.pc, CODE + 1);
    CHECK_EQ(cpu->dbg.vector, X86_DB);
    put_code(CODE + 1, BYTES(0x0f, 0x0b));
    CHECK_EQ(x86_step(cpu), X86_EXIT_DEBUG);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_UD);
    free(cpu);
}

static void breakpoints(void)
{
    struct x86_cpu *cpu = machine();

    /* DR1: fetch of CODE + 1. */
    cpu->dr[1] = CODE + 1;
    cpu->dr[7] = 0x400 | 1 << 2;
    x86_derive(cpu);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, CODE + 1);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_DB);
    CHECK_EQ(stack(cpu, 0), CODE + 1);
    CHECK_EQ(cpu->dr[6], 0xffff0ff2);
    cpu->rip = CODE + 1;
    cpu->rflags |= X86_RF;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, CODE + 2);
    CHECK(!(cpu->rflags & X86_RF));

    /* DR0: 4-byte write at 0x3000; a read beside it and of it is none. */
    cpu->dr[0] = 0x3000;
    cpu->dr[7] = 0x400 | 2 | 0xdu << 16;
    x86_derive(cpu);
    put_code(CODE, BYTES(0xa1, 0x00, 0x30, 0x00, 0x00,   /* mov eax, [0x3000] */
                         0xa3, 0x04, 0x30, 0x00, 0x00,   /* mov [0x3004], eax */
                         0xa2, 0x03, 0x30, 0x00, 0x00)); /* mov [0x3003], al */
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, CODE + 10);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_DB);
    CHECK_EQ(stack(cpu, 0), CODE + 15);
    CHECK_EQ(cpu->dr[6], 0xffff0ff1);

    /* The debugger's own. */
    cpu->dr[7] = 0x400;
    cpu->dbg.hw_break = true;
    cpu->dbg.dr[2] = 0x3000;
    cpu->dbg.dr7 = 2 << 4 | 0xfu << 24;
    x86_derive(cpu);
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_DEBUG);
    CHECK_EQ(cpu->rip, CODE + 5);
    CHECK_EQ(cpu->dbg.dr6 & 0xf, 4);
    cpu->dbg.dr[2] = CODE + 5;
    cpu->dbg.dr7 = 2 << 4;
    x86_derive(cpu);
    CHECK_EQ(x86_step(cpu), X86_EXIT_DEBUG);
    CHECK_EQ(cpu->rip, CODE + 5);
    cpu->dbg.hw_break = false;

    /* INT3 is the guest's unless the debugger wants it. */
    put_code(CODE, BYTES(0xcc));
    x86_derive(cpu);
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_BP);
    CHECK_EQ(stack(cpu, 0), CODE + 1);
    cpu->dbg.sw_break = true;
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_DEBUG);
    CHECK_EQ(cpu->rip, CODE);
    CHECK_EQ(cpu->dbg.vector, X86_BP);
    CHECK_EQ(cpu->dbg.pc, CODE);
    free(cpu);
}

static void shadow(void)
{
    struct x86_cpu *cpu = machine();

    put_code(CODE, BYTES(0xfb, 0xf4)); /* sti; hlt */
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK(cpu->rflags & X86_IF);
    CHECK(!x86_interrupt_ok(cpu));
    CHECK_EQ(x86_step(cpu), X86_EXIT_HLT);
    CHECK_EQ(cpu->rip, CODE + 2);
    CHECK(x86_interrupt_ok(cpu));
    free(cpu);
}

/* Answers an exit: a read gets v. */
static void answer(struct x86_cpu *cpu, uint64_t v)
{
    if (!cpu->io.write)
        le64_put(cpu->io.data, v);
    x86_io_done(cpu);
}

static void replay(void)
{
    struct x86_cpu *cpu = machine();
    const uint32_t dev = 0x10000000;

    /* A read-modify-write takes two exits and is done once. */
    put_code(CODE, BYTES(0x01, 0x05, 0x00, 0x00, 0x00, 0x10)); /* add [dev], eax */
    cpu->gpr[X86_RAX] = 5;
    CHECK_EQ(x86_step(cpu), X86_EXIT_MMIO);
    CHECK_EQ(cpu->rip, CODE);
    CHECK_EQ(cpu->io.addr, dev);
    CHECK_EQ(cpu->io.len, 4);
    CHECK(!cpu->io.write);
    answer(cpu, 0xfffffffb);
    CHECK(!x86_interrupt_ok(cpu)); /* under way */
    CHECK_EQ(x86_step(cpu), X86_EXIT_MMIO);
    CHECK(cpu->io.write);
    CHECK_EQ(le64(cpu->io.data), 0);
    answer(cpu, 0);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, CODE + 6);
    CHECK_EQ(cpu->rflags & (X86_CF | X86_ZF), X86_CF | X86_ZF);
    CHECK_EQ(cpu->replay.count, 0);
    CHECK_EQ(fake_ios, 2);

    /* Across the end of RAM: the part in RAM is stored when the device has its own. */
    put_code(CODE, BYTES(0x01, 0x05, 0xfe, 0xff, 0x3f, 0x00)); /* add [FAKE_RAM - 2], eax */
    le16_put(fake_ram + FAKE_RAM - 2, 0x1234);
    cpu->gpr[X86_RAX] = 0x00010001;
    cpu->rip = CODE;
    CHECK_EQ(x86_step(cpu), X86_EXIT_MMIO);
    CHECK_EQ(cpu->io.addr, FAKE_RAM);
    CHECK_EQ(cpu->io.len, 2);
    answer(cpu, 0x5678);
    CHECK_EQ(x86_step(cpu), X86_EXIT_MMIO);
    CHECK(cpu->io.write);
    CHECK_EQ(le16(cpu->io.data), 0x5679);
    CHECK_EQ(le16(fake_ram + FAKE_RAM - 2), 0x1234);
    answer(cpu, 0);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(le16(fake_ram + FAKE_RAM - 2), 0x1235);

    /* In a block: the instructions before it are done, it alone is repeated. */
    struct x86_insn insn[3];
    unsigned done;
    put_code(CODE, BYTES(0x40, 0xe4, 0x60, 0x40)); /* inc eax; in al, 0x60; inc eax */
    static const uint8_t offset[3] = { 0, 1, 3 };
    for (unsigned i = 0; i < 3; i++) {
        cpu->rip = CODE + offset[i];
        CHECK(x86_fetch(cpu, &insn[i], NULL));
        x86_bind(&insn[i]);
    }
    cpu->rip = CODE;
    cpu->gpr[X86_RAX] = 0x100;
    CHECK_EQ(x86_run(cpu, insn, 3, &done), X86_EXIT_PIO);
    CHECK_EQ(done, 1);
    CHECK_EQ(cpu->rip, CODE + 1);
    CHECK_EQ(cpu->gpr[X86_RAX], 0x101);
    CHECK_EQ(cpu->io.addr, 0x60);
    CHECK_EQ(cpu->io.len, 1);
    answer(cpu, 0x7f);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->gpr[X86_RAX], 0x17f);
    CHECK_EQ(cpu->rip, CODE + 3);

    /* Done at once: no exit, but the block ends. */
    fake_now = 1;
    cpu->rip = CODE;
    CHECK_EQ(x86_run(cpu, insn, 3, &done), X86_EXIT_NONE);
    CHECK_EQ(done, 2);
    CHECK_EQ(cpu->gpr[X86_RAX], 0x15a);
    fake_now = 0;

    /* A string instruction: one element a time. */
    put_code(CODE, BYTES(0xf3, 0xa4)); /* rep movsb */
    cpu->rip = CODE;
    cpu->gpr[X86_RCX] = 3;
    cpu->gpr[X86_RSI] = dev;
    cpu->gpr[X86_RDI] = 0x3000;
    for (unsigned i = 0; i < 3; i++) {
        enum x86_exit exit;
        for (unsigned n = 0; (exit = x86_step(cpu)) == X86_EXIT_NONE && n < 3;)
            n++;
        CHECK_EQ(exit, X86_EXIT_MMIO);
        CHECK_EQ(cpu->io.addr, dev + i);
        answer(cpu, 0x41 + i);
    }
    for (unsigned n = 0; cpu->rip == CODE && n < 3; n++)
        CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, CODE + 2);
    CHECK(!memcmp(fake_ram + 0x3000, "ABC", 3));
    CHECK_EQ(cpu->gpr[X86_RCX], 0);
    free(cpu);
}

/* Instructions that cross a page, and one whose second page is missing. */
static void crossing(void)
{
    struct x86_cpu *cpu = machine();
    struct x86_insn insn;
    uint64_t gpa;

    put_code(CODE + 0xffd, BYTES(0xb8, 1, 2, 3, 4)); /* mov eax, imm32 */
    cpu->rip = CODE + 0xffd;
    CHECK(x86_fetch(cpu, &insn, &gpa));
    CHECK_EQ(gpa, ~0ull);
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->gpr[X86_RAX], 0x04030201);
    cpu->rip = CODE;
    CHECK(x86_fetch(cpu, &insn, &gpa));
    CHECK_EQ(gpa, CODE);

    for (unsigned i = 0; i < 1024; i++)
        le32_put(fake_ram + 0x9000 + 4 * i, i << 12 | (i == CODE / 4096 + 1 ? 0 : 7));
    le32_put(fake_ram + 0x8000, 0x9007);
    cpu->cr3 = 0x8000;
    cpu->cr0 |= X86_CR0_PG;
    x86_state_changed(cpu);
    cpu->rip = CODE + 0xffd;
    CHECK_EQ(x86_step(cpu), X86_EXIT_NONE);
    CHECK_EQ(cpu->rip, HANDLERS + 16 * X86_PFV);
    CHECK_EQ(cpu->cr2, CODE + 0x1000);
    CHECK_EQ(stack(cpu, 1), CODE + 0xffd);
    free(cpu);
}

static void reset(void)
{
    struct x86_cpu *cpu = fake_cpu();

    CHECK_EQ(cpu->rip, 0xfff0);
    CHECK_EQ(cpu->seg[X86_CS].base, 0xffff0000);
    CHECK_EQ(cpu->cr0, 0x60000010);
    CHECK_EQ(cpu->rflags, 2);
    CHECK_EQ(cpu->code, 2);
    CHECK_EQ(cpu->stack, 2);
    CHECK_EQ(cpu->flat, 0);
    CHECK_EQ(cpu->mode_key, X86_KEY_CODE16 | X86_KEY_REAL);
    CHECK_EQ(cpu->dr[6], 0xffff0ff0);
    CHECK_EQ(cpu->dr[7], 0x400);
    cpu->cr0 = X86_CR0_PE | X86_CR0_ET;
    cpu->msr.lstar = 5;
    x86_init(cpu);
    CHECK_EQ(cpu->cr0, 0x10);
    CHECK_EQ(cpu->msr.lstar, 5);
    fake_long(cpu, 3, 0);
    CHECK_EQ(cpu->code, 8);
    CHECK_EQ(cpu->mode_key, X86_KEY_CODE64 | X86_KEY_USER);
    fake_protected(cpu, 0);
    cpu->efer = 0;
    x86_state_changed(cpu);
    CHECK_EQ(cpu->flat, 0x3f);
    CHECK_EQ(cpu->mode_key, X86_KEY_CODE32 | X86_KEY_STACK32 | X86_KEY_FLAT);
    free(cpu);
}

int main(void)
{
    reset();
    exceptions();
    double_fault();
    single_step();
    breakpoints();
    shadow();
    replay();
    crossing();
    return unit_done("step");
}
