/* SPDX-License-Identifier: BSD-2-Clause */
/* Random code and random tables in every mode, run by the emulator: whatever a guest does, nothing
 * but the guest may break. */
#include "tests/unit/x86_rig.h"

enum { STEPS = 200, HEADER = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void random_tables(struct rig *r, const uint8_t *data, size_t size)
{
    /* Free descriptors and gates come from the input, so that far transfers meet anything. */
    for (unsigned i = 0; i < 16 && size >= 8; i++, data += 8, size -= 8)
        memcpy(r->ram + RIG_GDT + RIG_FREE + 8 * i, data, 8);
    for (unsigned v = 0; v < 32 && size >= 8; v += 4, data += 8, size -= 8)
        memcpy(r->ram + RIG_IDT + 8 * v, data, 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct rig *r;
    if (!r)
        r = rig_create();
    if (size < HEADER)
        return 0;
    struct x86_cpu *cpu = &r->cpu;
    switch (data[0] & 3) {
    case 0: rig_real(r); break;
    case 1: rig_protected(r); break;
    default: rig_long(r); break;
    }
    if ((data[0] & 3) && (data[0] & 4))
        rig_user(r);
    if ((data[0] & 3) == 1 && (data[0] & 8)) {
        cpu->rflags |= X86_VM | ((data[0] & 16) ? X86_IOPL : 0);
        for (unsigned i = 0; i < X86_SREG_COUNT; i++)
            cpu->seg[i] = (struct x86_seg){ 0, 0xffff, 0xf3, 0 };
        x86_state_changed(cpu);
    }
    for (unsigned i = 0; i < 16; i++)
        if (i != X86_RSP)
            cpu->gpr[i] = data[1 + i % 7] * (i & 1 ? 0x1000ull : 8ull);
    data += HEADER;
    size -= HEADER;
    size_t code = MIN(size, 64);
    memcpy(r->ram + RIG_CODE, data, code);
    random_tables(r, data + code, size - code);
    memcpy(r->ram + RIG_HANDLER, data, code);
    for (unsigned i = 0; i < STEPS; i++) {
        if (i % 16 == 15 && x86_interrupt_ok(cpu) && x86_interrupt(cpu, data[0]))
            break;
        enum x86_exit exit = x86_step(cpu);
        if (exit == X86_EXIT_SHUTDOWN || exit == X86_EXIT_ERROR)
            break;
    }
    return 0;
}
