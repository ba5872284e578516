/* SPDX-License-Identifier: BSD-2-Clause */
/* The software engine's counters for --stats: lines `vcpuN.name value  unit or meaning`. */
#include <stdio.h>

#include "engine/soft/soft.h"

enum { TOP_OPS = 12 };

static void line(FILE *f, const struct soft_vcpu *v, const char *name, uint64_t value,
                 const char *meaning)
{
    char full[64];

    snprintf(full, sizeof(full), "vcpu%u.%s", v->id, name);
    fprintf(f, "%-28s %14llu  %s\n", full, (unsigned long long)value, meaning);
}

static uint64_t ns_of(uint64_t tsc) { return tsc / MAX(soft_tsc_khz() / 1000, 1u) * 1000; }

/* The instructions that most often went to the interpreter one by one. */
static void top_ops(const struct soft_vcpu *v, FILE *f)
{
    uint32_t below = UINT32_MAX;
    unsigned last = 0;

    for (unsigned n = 0; n < TOP_OPS; n++) {
        unsigned best = X86_OP_COUNT;
        for (unsigned i = 0; i < X86_OP_COUNT; i++) {
            uint32_t c = v->xl.emulated_op[i];
            bool seen = c > below || (c == below && i <= last);
            if (c && !(n && seen) && (best == X86_OP_COUNT || c > v->xl.emulated_op[best]))
                best = i;
        }
        if (best == X86_OP_COUNT)
            break;
        char name[48];
        snprintf(name, sizeof(name), "emulated.%s", x86_op_name[best]);
        below = v->xl.emulated_op[best];
        last = best;
        line(f, v, name, below, "of them");
    }
}

static void translator(const struct soft_vcpu *v, FILE *f)
{
    const struct xl *xl = &v->xl;

    line(f, v, "xl_blocks", xl->blocks, "blocks translated");
    line(f, v, "xl_insns", xl->insns, "guest instructions translated");
    line(f, v, "xl_ns", ns_of(xl->translate_tsc), "ns translating (without decoding)");
    if (xl->insns)
        line(f, v, "xl_ns_per_insn", ns_of(xl->translate_tsc) / xl->insns,
             "ns a guest instruction");
    line(f, v, "xl_cloned", xl->cloned, "blocks copied from the same at another address");
    line(f, v, "xl_cloned_insns", xl->cloned_insns, "guest instructions in them");
    if (xl->cloned_insns)
        line(f, v, "xl_clone_ns_per_insn", ns_of(xl->clone_tsc) / xl->cloned_insns,
             "ns a guest instruction");
    if (xl->verify) {
        line(f, v, "xl_verified", xl->verified, "copies compared with translations");
        line(f, v, "xl_differ", xl->differ, "of them different");
    }
    line(f, v, "xl_bytes", xl->used, "bytes of code");
    line(f, v, "xl_arena_bytes", xl->arena_used, "bytes of what belongs to it");
    line(f, v, "xl_flushes", xl->generation - 2u, "times all code was dropped");
    line(f, v, "xl_entries", xl->entries, "times generated code was entered");
    line(f, v, "xl_misses", xl->misses, "of them without leaving the loop: next block not linked");
    line(f, v, "xl_polls", xl->polls, "times it was left because something pends");
    line(f, v, "xl_emulated", xl->emulated, "instructions it left to the interpreter");
    line(f, v, "xl_fills", xl->fills, "TLB misses of translated code");
    if (xl->window) {
        line(f, v, "window_owners", xl->window_owners, "times an address space got the window");
        line(f, v, "window_bans", xl->window_bans, "times one lost it: too many faults");
        line(f, v, "window_faults", xl->window_faults, "accesses that faulted on the host");
        line(f, v, "window_pages", xl->window_pages, "of them that had a page mapped");
        line(f, v, "window_refreshes", xl->window_refreshes, "looks at all pages after a flush");
    }
    top_ops(v, f);
}

static const char *exit_name(unsigned reason)
{
    switch (reason) {
    case KVM_EXIT_IO: return "to the monitor: port I/O";
    case KVM_EXIT_MMIO: return "to the monitor: memory-mapped I/O";
    case KVM_EXIT_INTR: return "to the monitor: asked to";
    case KVM_EXIT_HLT: return "to the monitor: HLT";
    case KVM_EXIT_SHUTDOWN: return "to the monitor: triple fault";
    case KVM_EXIT_DEBUG: return "to the monitor: breakpoint or step";
    case KVM_EXIT_IRQ_WINDOW_OPEN: return "to the monitor: interrupt window";
    default: return "to the monitor";
    }
}

static void vcpu(const struct soft_vcpu *v, FILE *f)
{
    const struct soft_stats *s = &v->stat;

    line(f, v, "insns", v->cpu.insns + s->steps, "instructions the interpreter ran");
    line(f, v, "steps", s->steps, "of them outside blocks");
    line(f, v, "blocks_run", s->blocks_run, "decoded blocks the interpreter ran");
    line(f, v, "blocks_built", s->blocks_built, "blocks decoded");
    line(f, v, "insns_decoded", s->insns_decoded, "guest instructions decoded");
    line(f, v, "decode_ns", ns_of(s->decode_tsc), "ns decoding");
    line(f, v, "cache_bytes", v->cache.used, "bytes of decoded blocks");
    line(f, v, "cache_flushes", s->cache_flushes, "times all decoded blocks were dropped");
    line(f, v, "invalidations", s->invalidations, "blocks dropped as their bytes changed");
    line(f, v, "hot_steps", s->hot_steps, "blocks not kept: code that changes all the time");
    line(f, v, "interrupts", s->interrupts, "interrupts taken");
    line(f, v, "nmis", s->nmis, "NMIs taken");
    line(f, v, "halts", s->halts, "HLT");
    line(f, v, "ticks", s->ticks, "looks at the interrupt controllers");
    line(f, v, "tlb_fills", v->cpu.tlb_stats.fill, "TLB misses filled");
    line(f, v, "tlb_flushes", v->cpu.tlb_stats.flush, "TLB flushes");
    line(f, v, "tlb_flushes_local", v->cpu.tlb_stats.local, "of them all but global pages");
    line(f, v, "tlb_pages", v->cpu.tlb_stats.page, "pages dropped from the TLB");
    line(f, v, "view_switches", v->cpu.tlb_stats.view_switch, "changes of address space by PCID");
    line(f, v, "view_misses", v->cpu.tlb_stats.view_miss, "of them to one without translations");
    line(f, v, "page_faults", v->cpu.tlb_stats.fault, "page faults of the guest");
    if (v->lock) {
        uint64_t n[3];
        lockstep_stats(v, n);
        line(f, v, "lockstep_blocks", n[0], "blocks done by both and compared");
        line(f, v, "lockstep_partial", n[1], "of them up to an access outside RAM");
        line(f, v, "lockstep_alone", n[2], "instructions by the interpreter alone");
    }
    if (v->xl.on)
        translator(v, f);
    for (unsigned k = 0; k < ARRAY_LEN(s->exits); k++)
        if (s->exits[k]) {
            char name[16];
            snprintf(name, sizeof(name), "exit.%u", k);
            line(f, v, name, s->exits[k], exit_name(k));
        }
}

void soft_stats(struct engine_vm *evm, FILE *f)
{
    struct soft_vm *vm = soft_vm_of(evm);

    for (unsigned i = 0; i < vm->vcpus; i++)
        vcpu(vm->vcpu[i], f);
}
