/* SPDX-License-Identifier: BSD-2-Clause */
/* IN and OUT, and the permission to use a port. [SDM] vol. 1 "Input/Output". */
#include "isa/x86/sys.h"

enum { TSS_IO_BASE = 0x66 };

/* [SDM] vol. 1 "I/O Permission Bit Map": two bytes are read whatever the port, so the map needs one
 * byte more than it has ports for. */
void x86_io_check(struct x86_cpu *cpu, uint16_t port, unsigned len)
{
    if (!x86_protected(cpu) || (!x86_v86(cpu) && cpu->cpl <= x86_iopl(cpu)))
        return;
    if (x86_attr_type(cpu->tr.attr) < X86_DESC_TSS || cpu->tr.limit < TSS_IO_BASE + 1)
        x86_gp0(cpu);
    uint64_t map = x86_load_user(cpu, X86_DS, cpu->tr.base + TSS_IO_BASE, 2, 0);
    uint64_t off = map + port / 8;
    if (off + 1 > cpu->tr.limit)
        x86_gp0(cpu);
    uint64_t bits = x86_load_user(cpu, X86_DS, cpu->tr.base + off, 2, 0) >> (port % 8);
    if (bits & ((1u << len) - 1))
        x86_gp0(cpu);
}

static uint16_t port_of(const struct x86_cpu *cpu, const struct x86_insn *insn, unsigned n)
{
    return insn->operand[n].kind == X86_OPERAND_IMM ? (uint16_t)(insn->imm & 0xff)
                                                    : (uint16_t)cpu->gpr[X86_RDX];
}

void x86_exec_in(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint16_t port = port_of(cpu, insn, 1);
    unsigned size = insn->operand[0].size;
    uint8_t data[8] = { 0 };
    x86_io_check(cpu, port, size);
    x86_pio(cpu, port, data, size, false);
    x86_reg_set(cpu, X86_RAX, size, le_get(data, size));
}

void x86_exec_out(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    uint16_t port = port_of(cpu, insn, 0);
    unsigned size = insn->operand[1].size;
    uint8_t data[8];
    x86_io_check(cpu, port, size);
    le64_put(data, cpu->gpr[X86_RAX]);
    x86_pio(cpu, port, data, size, true);
}
