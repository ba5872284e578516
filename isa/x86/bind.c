/* SPDX-License-Identifier: BSD-2-Clause */
/* Gives a decoded instruction the function that executes it. */
#include "isa/x86/emu.h"

static void exec_undefined(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    (void)insn;
    x86_ud(cpu);
}

/* INT3 may belong to the debugger (KVM_GUESTDBG_USE_SW_BP), which takes it before the guest does.
 */
static void exec_int3(struct x86_cpu *cpu, const struct x86_insn *insn)
{
    if (cpu->dbg.sw_break) {
        cpu->dbg.vector = X86_BP;
        cpu->dbg.pc = cpu->seg[X86_CS].base + cpu->insn_rip;
        cpu->dbg.dr6 = 0;
        x86_throw(cpu, X86_EXIT_DEBUG);
    }
    x86_exec_fn *fn = x86_bind_system(insn);
    (fn ? fn : exec_undefined)(cpu, insn);
}

void x86_bind(struct x86_insn *insn)
{
    static x86_exec_fn *(*const binder[])(const struct x86_insn *) = {
        x86_bind_integer,
        x86_bind_string,
        x86_bind_system,
        x86_bind_native,
    };
    x86_exec_fn *fn = NULL;

    if (insn->op == X86_OP_INT3)
        fn = exec_int3;
    else if (insn->op != X86_OP_INVALID)
        for (unsigned i = 0; i < ARRAY_LEN(binder) && !fn; i++)
            fn = binder[i](insn);
    insn->exec = fn ? fn : exec_undefined;
}

bool x86_is_native(const struct x86_insn *insn)
{
    return insn->op != X86_OP_INVALID && insn->exec == x86_bind_native(insn);
}
