/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU of the software engine: the run loop, what it must attend to, halting, exits. */
#include <errno.h>
#include <string.h>

#include "engine/soft/soft.h"
#include "isa/x86/native.h"
#include "lib/log.h"

enum {
    HALT_SPIN_NS = 20000, /* a wake-up by the host costs more than this */
    NO_EXIT = 1           /* of handlers: go on running; else the result of run() */
};

/* ---- the processor's surroundings ---- */

static bool env_mmio(struct x86_cpu *cpu, uint64_t gpa, void *data, unsigned len, bool write)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_fpu_put(v);
    if (unlikely(v->lock != NULL))
        lockstep_outside(v);
    if (!v->vm->chip || !irqchip_mmio(v->vm->chip, v->id, gpa, data, len, write))
        return false;
    atomic_fetch_or(&v->attention, SOFT_IRQ);
    return true;
}

static bool env_pio(struct x86_cpu *cpu, uint16_t port, void *data, unsigned len, bool write)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_fpu_put(v);
    if (unlikely(v->lock != NULL))
        lockstep_outside(v);
    if (!v->vm->chip || !irqchip_pio(v->vm->chip, v->id, port, data, len, write))
        return false;
    atomic_fetch_or(&v->attention, SOFT_IRQ);
    return true;
}

static uint64_t env_host_tsc(struct x86_cpu *cpu)
{
    (void)cpu;
    return soft_rdtsc();
}

static int env_apic_rdmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t *val)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_fpu_put(v);
    if (v->vm->chip)
        return irqchip_rdmsr(v->vm->chip, v->id, msr, val) ? -1 : 0;
    if (msr != MSR_APIC_BASE)
        return -1;
    *val = v->apic_base;
    return 0;
}

static int env_apic_wrmsr(struct x86_cpu *cpu, uint32_t msr, uint64_t val)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_fpu_put(v);
    atomic_fetch_or(&v->attention, SOFT_IRQ);
    if (v->vm->chip)
        return irqchip_wrmsr(v->vm->chip, v->id, msr, val) ? -1 : 0;
    if (msr != MSR_APIC_BASE)
        return -1;
    v->apic_base = val;
    return 0;
}

static uint64_t env_cr8_read(struct x86_cpu *cpu)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_fpu_put(v);
    return v->vm->chip ? irqchip_cr8(v->vm->chip, v->id) : v->cr8;
}

static void env_cr8_write(struct x86_cpu *cpu, uint64_t val)
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    xl_fpu_put(v);
    atomic_fetch_or(&v->attention, SOFT_IRQ);
    if (v->vm->chip)
        irqchip_set_cr8(v->vm->chip, v->id, val);
    v->cr8 = val;
}

static void env_cpuid(struct x86_cpu *cpu, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    struct soft_vcpu *v = soft_vcpu_of(cpu);

    x86_model_lookup(v->cpuid, v->cpuid_count, cpu, leaf, subleaf, out);
}

static void env_fpu_needed(struct x86_cpu *cpu) { xl_fpu_away(soft_vcpu_of(cpu)); }

static const struct x86_env soft_env = {
    .ram = soft_ram,
    .store_code = soft_store_code,
    .mmio = env_mmio,
    .pio = env_pio,
    .host_tsc = env_host_tsc,
    .apic_rdmsr = env_apic_rdmsr,
    .apic_wrmsr = env_apic_wrmsr,
    .cr8_read = env_cr8_read,
    .cr8_write = env_cr8_write,
    .cpuid = env_cpuid,
    .fpu_needed = env_fpu_needed,
    .tlb_flushed = xl_tlb_flushed,
};

/* ---- attention ---- */

void soft_attention(struct soft_vcpu *v, uint32_t bits)
{
    atomic_fetch_or(&v->attention, bits);
    atomic_store(&v->xl.poll, 1);
    atomic_store(&v->xl.salt[0], v->xl.poison);
    atomic_store(&v->xl.salt[3], v->xl.poison);
    if (atomic_load(&v->sleeping))
        soft_futex_wake(&v->attention);
}

void soft_kick(struct engine_vcpu *ev) { soft_attention((struct soft_vcpu *)ev, SOFT_KICK); }

static int internal_error(struct soft_vcpu *v, const char *what)
{
    struct kvm_run *run = v->base.run;

    xl_fpu_put(v);
    trace(LOG_ENGINE, "vcpu %u: cannot go on at rip %#llx: %s", v->id,
          (unsigned long long)v->cpu.rip, what);
    log_err(LOG_ENGINE, "vcpu %u: cannot go on at rip %#llx: %s", v->id,
            (unsigned long long)v->cpu.rip, what);
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->internal.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->internal.ndata = 1;
    run->internal.data[0] = v->cpu.rip;
    return 0;
}

static int pio_exit(struct soft_vcpu *v)
{
    struct kvm_run *run = v->base.run;

    run->exit_reason = KVM_EXIT_IO;
    run->io.direction = v->cpu.io.write ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
    run->io.size = v->cpu.io.len;
    run->io.port = (uint16_t)v->cpu.io.addr;
    run->io.count = 1;
    run->io.data_offset = 4096;
    memcpy((uint8_t *)run + 4096, v->cpu.io.data, 8);
    v->io = SOFT_IO_PORT;
    return 0;
}

static int mmio_exit(struct soft_vcpu *v)
{
    struct kvm_run *run = v->base.run;

    run->exit_reason = KVM_EXIT_MMIO;
    run->mmio.phys_addr = v->cpu.io.addr;
    run->mmio.len = v->cpu.io.len;
    run->mmio.is_write = v->cpu.io.write;
    memcpy(run->mmio.data, v->cpu.io.data, 8);
    v->io = SOFT_IO_MEMORY;
    return 0;
}

static int debug_exit(struct soft_vcpu *v)
{
    struct kvm_run *run = v->base.run;

    run->exit_reason = KVM_EXIT_DEBUG;
    memset(&run->debug, 0, sizeof(run->debug));
    run->debug.arch.exception = v->cpu.dbg.vector;
    run->debug.arch.pc = v->cpu.dbg.pc;
    run->debug.arch.dr6 = v->cpu.dbg.dr6;
    run->debug.arch.dr7 = v->cpu.dbg.dr7;
    return 0;
}

static int handle_exit(struct soft_vcpu *v, enum x86_exit exit)
{
    switch (exit) {
    case X86_EXIT_NONE: return NO_EXIT;
    case X86_EXIT_MMIO: return mmio_exit(v);
    case X86_EXIT_PIO: return pio_exit(v);
    case X86_EXIT_HLT:
        v->stat.halts++;
        if (!v->vm->chip) {
            v->base.run->exit_reason = KVM_EXIT_HLT;
            return 0;
        }
        v->mp_state = KVM_MP_STATE_HALTED;
        atomic_fetch_or(&v->attention, SOFT_IRQ);
        return NO_EXIT;
    case X86_EXIT_SHUTDOWN: v->base.run->exit_reason = KVM_EXIT_SHUTDOWN; return 0;
    case X86_EXIT_DEBUG: return debug_exit(v);
    case X86_EXIT_ERROR: break;
    }
    return internal_error(v, v->cpu.error ? v->cpu.error : "unknown reason");
}

/* ---- interrupts ---- */

static void set_deadline(struct soft_vcpu *v)
{
    uint64_t ns = irqchip_deadline(v->vm->chip, v->id);

    v->deadline_tsc = ns == UINT64_MAX ? UINT64_MAX : soft_ns_to_tsc(ns);
}

/* [SDM] 3A "MP Initialization Protocol": the start-up address of a SIPI. */
static void start_up(struct soft_vcpu *v, uint8_t page)
{
    v->cpu.seg[X86_CS].sel = (uint16_t)(page << 8);
    v->cpu.seg[X86_CS].base = (uint64_t)page << 12;
    v->cpu.rip = 0;
    x86_state_changed(&v->cpu);
    v->mp_state = KVM_MP_STATE_RUNNABLE;
}

static int chip_events(struct soft_vcpu *v)
{
    struct irqchip *chip = v->vm->chip;
    enum x86_exit exit = X86_EXIT_NONE;
    unsigned p;
    uint8_t page = 0;

    xl_fpu_put(v);
    irqchip_tick(chip, v->id);
    v->stat.ticks++;
    p = irqchip_pending(chip, v->id);
    if (p & IRQCHIP_INIT) {
        irqchip_take(chip, v->id, IRQCHIP_INIT, NULL);
        x86_init(&v->cpu);
        v->mp_state = v->id ? KVM_MP_STATE_INIT_RECEIVED : KVM_MP_STATE_RUNNABLE;
        p = irqchip_pending(chip, v->id);
    }
    if (p & IRQCHIP_SIPI) {
        irqchip_take(chip, v->id, IRQCHIP_SIPI, &page);
        if (v->mp_state == KVM_MP_STATE_INIT_RECEIVED || v->mp_state == KVM_MP_STATE_UNINITIALIZED)
            start_up(v, page);
    }
    bool takes = v->mp_state == KVM_MP_STATE_RUNNABLE || v->mp_state == KVM_MP_STATE_HALTED;
    if (takes && (p & IRQCHIP_NMI) && x86_nmi_ok(&v->cpu)) {
        irqchip_take(chip, v->id, IRQCHIP_NMI, NULL);
        v->mp_state = KVM_MP_STATE_RUNNABLE;
        v->stat.nmis++;
        exit = x86_nmi(&v->cpu);
        p &= ~(unsigned)IRQCHIP_NMI;
    }
    if (takes && exit == X86_EXIT_NONE && (p & IRQCHIP_INTR) && x86_interrupt_ok(&v->cpu)) {
        int vector = irqchip_ack(chip, v->id);
        if (vector >= 0) {
            v->mp_state = KVM_MP_STATE_RUNNABLE;
            v->stat.interrupts++;
            trace(LOG_INTR, "vcpu %u: vector %#x at %#llx", v->id, (unsigned)vector,
                  (unsigned long long)v->cpu.rip);
            exit = x86_interrupt(&v->cpu, (uint8_t)vector);
        }
        p = irqchip_pending(chip, v->id);
    }
    if (p & IRQCHIP_INTR)
        atomic_fetch_or(&v->attention, SOFT_WINDOW);
    if (p & IRQCHIP_NMI)
        atomic_fetch_or(&v->attention, SOFT_NMI_WINDOW);
    set_deadline(v);
    return handle_exit(v, exit);
}

/* The caller emulates the interrupt controllers: KVM_INTERRUPT, KVM_NMI, interrupt window. */
static int user_events(struct soft_vcpu *v)
{
    enum x86_exit exit = X86_EXIT_NONE;

    if (v->nmi_pending && x86_nmi_ok(&v->cpu)) {
        v->nmi_pending = false;
        v->stat.nmis++;
        exit = x86_nmi(&v->cpu);
    } else if (v->injected >= 0 && x86_interrupt_ok(&v->cpu)) {
        uint8_t vector = (uint8_t)v->injected;
        v->injected = -1;
        v->stat.interrupts++;
        exit = x86_interrupt(&v->cpu, vector);
    } else if (v->injected < 0 && v->base.run->request_interrupt_window &&
               x86_interrupt_ok(&v->cpu)) {
        v->base.run->exit_reason = KVM_EXIT_IRQ_WINDOW_OPEN;
        return 0;
    }
    if (v->injected >= 0 || v->base.run->request_interrupt_window)
        atomic_fetch_or(&v->attention, SOFT_WINDOW);
    if (v->nmi_pending)
        atomic_fetch_or(&v->attention, SOFT_NMI_WINDOW);
    return handle_exit(v, exit);
}

/* Memory first: nothing may run on with what is stale. */
static void attend_memory(struct soft_vcpu *v)
{
    const uint32_t mine = SOFT_FLUSH | SOFT_TLB | SOFT_INBOX_BIT;
    uint32_t a = atomic_load(&v->attention) & mine;

    if (!a)
        return;
    atomic_fetch_and(&v->attention, ~mine);
    if (a & (SOFT_FLUSH | SOFT_TLB)) {
        x86_tlb_flush(&v->cpu);
        xl_window_forget(v);
        if (a & SOFT_FLUSH)
            soft_cache_flush(v);
        atomic_fetch_add(&v->flushed, 1);
    }
    if (a & SOFT_INBOX_BIT)
        soft_inbox_work(v);
}

static int attend(struct soft_vcpu *v)
{
    uint32_t a;

    attend_memory(v);
    a = atomic_load(&v->attention);
    if (a & SOFT_KICK) {
        atomic_fetch_and(&v->attention, ~(uint32_t)SOFT_KICK);
        v->base.run->exit_reason = KVM_EXIT_INTR;
        return -EINTR;
    }
    if (a & (SOFT_IRQ | SOFT_WINDOW | SOFT_NMI_WINDOW)) {
        atomic_fetch_and(&v->attention, ~(uint32_t)(SOFT_IRQ | SOFT_WINDOW | SOFT_NMI_WINDOW));
        return v->vm->chip ? chip_events(v) : user_events(v);
    }
    return NO_EXIT;
}

/* Waits until something demands attention. */
static void halt(struct soft_vcpu *v)
{
    const uint64_t spin_until = soft_rdtsc() + soft_tsc_khz() / 1000 * (HALT_SPIN_NS / 1000);

    for (;;) {
        uint32_t a = atomic_load(&v->attention);
        uint64_t now = soft_rdtsc(), wait = UINT64_MAX;

        /* With IF clear an interrupt that pends wakes nobody. */
        if (a & ~(uint32_t)(SOFT_WINDOW | SOFT_NMI_WINDOW))
            return;
        if (now >= v->deadline_tsc) {
            atomic_fetch_or(&v->attention, SOFT_IRQ);
            return;
        }
        if (now < spin_until) {
            __builtin_ia32_pause();
            continue;
        }
        if (v->deadline_tsc != UINT64_MAX)
            wait = soft_tsc_to_ns(v->deadline_tsc) - soft_tsc_to_ns(now);
        atomic_store(&v->sleeping, 1);
        soft_futex_wait(&v->attention, a, wait);
        atomic_store(&v->sleeping, 0);
    }
}

/* ---- running ---- */

static enum x86_exit step(struct soft_vcpu *v)
{
    v->stat.steps++;
    return x86_step(&v->cpu);
}

static int run(struct soft_vcpu *v)
{
    struct x86_cpu *cpu = &v->cpu;
    struct kvm_run *kr = v->base.run;
    enum x86_exit exit;
    int r;

    kr->exit_reason = KVM_EXIT_UNKNOWN;
    if (!v->vm->chip) {
        v->cr8 = kr->cr8;
        atomic_fetch_or(&v->attention, SOFT_IRQ);
    }
    if (v->io != SOFT_IO_NONE) {
        if (!cpu->io.write)
            memcpy(cpu->io.data, v->io == SOFT_IO_PORT ? (uint8_t *)kr + 4096 : kr->mmio.data, 8);
        v->io = SOFT_IO_NONE;
        x86_io_done(cpu);
        /* Finish the instruction even if we are to leave at once, as KVM does. */
        attend_memory(v);
        r = handle_exit(v, step(v));
        if (r != NO_EXIT)
            return r;
    }
    if (kr->immediate_exit) {
        kr->exit_reason = KVM_EXIT_INTR;
        return -EINTR;
    }
    for (;;) {
        uint32_t a = atomic_load_explicit(&v->attention, memory_order_relaxed);
        if (unlikely(a)) {
            /* Pending, but cannot be taken yet: the usual case with IF clear. */
            if (a != SOFT_WINDOW || x86_interrupt_ok(cpu)) {
                r = attend(v);
                if (r != NO_EXIT)
                    return r;
            }
        }
        if (unlikely(--v->countdown < 0)) {
            v->countdown = SOFT_CLOCK_BLOCKS;
            if (soft_rdtsc() >= v->deadline_tsc)
                atomic_fetch_or(&v->attention, SOFT_IRQ);
        }
        if (unlikely(v->mp_state != KVM_MP_STATE_RUNNABLE)) {
            halt(v);
            continue;
        }
        struct soft_block *b = NULL;
        if (likely(!(cpu->exc_pending | cpu->shadow | cpu->debugging | (cpu->replay.count != 0))))
            b = soft_block_get(v);
        if (v->xl_step) {
            v->xl_step = false;
            exit = step(v);
        } else if (b && v->xl.on && xl_usable(cpu)) {
            exit = unlikely(v->lock != NULL) ? lockstep_run(v, b) : xl_run(v, b);
        } else if (likely(b != NULL)) {
            v->current = b;
            xl_fpu_away(v);
            exit = x86_run_blocks(cpu, b->insn, b->insn + b->count, soft_block_next);
        } else {
            exit = step(v);
        }
        if (unlikely(exit != X86_EXIT_NONE)) {
            r = handle_exit(v, exit);
            if (r != NO_EXIT)
                return r;
        }
    }
}

int soft_run(struct engine_vcpu *ev)
{
    struct soft_vcpu *v = (struct soft_vcpu *)ev;
    struct kvm_run *kr = v->base.run;
    int r;

    if (v->vm->chip && v->mp_state == KVM_MP_STATE_UNINITIALIZED && !v->id)
        v->mp_state = KVM_MP_STATE_RUNNABLE;
    xl_begin(v);
    atomic_store(&v->running, 1);
    atomic_thread_fence(memory_order_seq_cst); /* then attention is read: see soft_sync */
    r = run(v);
    xl_fpu_away(v); /* what sees or changes the state from outside finds it in cpu->xsave */
    atomic_store(&v->running, 0);
    kr->if_flag = (v->cpu.rflags & X86_IF) != 0;
    kr->ready_for_interrupt_injection = v->injected < 0 && x86_interrupt_ok(&v->cpu);
    kr->cr8 = env_cr8_read(&v->cpu);
    uint64_t base;
    if (!env_apic_rdmsr(&v->cpu, MSR_APIC_BASE, &base))
        kr->apic_base = base;
    v->stat.exits[MIN(kr->exit_reason, 63u)]++;
    return r;
}

/* ---- creation ---- */

void soft_vcpu_destroy(struct soft_vcpu *v)
{
    if (!v)
        return;
    xl_destroy(v);
    lockstep_destroy(v);
    soft_cache_destroy(&v->cache);
    soft_code_free(v->code_rw, v->code_rx, SOFT_CODE_SIZE);
    soft_pages_free(v->cpu.native, x86_native_size());
    soft_pages_free(v->base.run, 3 * 4096);
    pthread_mutex_destroy(&v->inbox_lock);
    soft_vcpu_free(v);
}

int soft_create_vcpu(struct engine_vm *evm, unsigned id, struct engine_vcpu **out)
{
    struct soft_vm *vm = soft_vm_of(evm);
    struct soft_vcpu *v;
    int err;

    if (id >= SOFT_MAX_VCPUS)
        return -EINVAL;
    v = soft_vcpu_alloc();
    if (!v)
        return -ENOMEM;
    v->base.ops = vm->base.ops;
    v->vm = vm;
    v->id = id;
    v->injected = -1;
    v->deadline_tsc = UINT64_MAX;
    v->apic_base = 0xfee00000 | X86_APIC_BASE_ENABLE | (id ? 0 : X86_APIC_BASE_BSP);
    pthread_mutex_init(&v->inbox_lock, NULL);
    err = -ENOMEM;
    v->base.run = soft_pages_alloc(3 * 4096);
    v->cpu.native = soft_pages_alloc(x86_native_size());
    if (!v->base.run || !v->cpu.native)
        goto fail;
    err = soft_cache_init(&v->cache, 2 * (size_t)vm->code_size);
    if (err)
        goto fail;
    err = soft_code_alloc(&v->code_rw, &v->code_rx, SOFT_CODE_SIZE);
    if (err)
        goto fail;
    x86_native_init(v->cpu.native, v->code_rw, v->code_rx, SOFT_CODE_SIZE);
    err = vm->translate ? xl_init(v) : 0;
    if (!err && vm->lockstep)
        err = lockstep_init(v);
    if (err)
        goto fail;
    v->cpuid_count = x86_model_cpuid(v->cpuid, SOFT_MAX_CPUID, soft_tsc_khz());
    v->cpu.env = &soft_env;
    v->cpu.tsc_offset = 0 - soft_rdtsc(); /* power-up: zero */
    x86_reset(&v->cpu);

    pthread_mutex_lock(&vm->lock);
    err = -EEXIST;
    for (unsigned i = 0; i < vm->vcpus; i++)
        if (vm->vcpu[i]->id == id)
            goto fail_locked;
    err = -EINVAL;
    if (vm->vcpus == (vm->lockstep ? 1 : SOFT_MAX_VCPUS))
        goto fail_locked;
    err = vm->chip ? irqchip_add_vcpu(vm->chip, id) : 0;
    if (err)
        goto fail_locked;
    v->mp_state = vm->chip && id ? KVM_MP_STATE_UNINITIALIZED : KVM_MP_STATE_RUNNABLE;
    atomic_store(&v->attention, SOFT_IRQ);
    vm->vcpu[vm->vcpus] = v;
    atomic_fetch_add(&vm->vcpus, 1);
    pthread_mutex_unlock(&vm->lock);
    *out = &v->base;
    return 0;

fail_locked:
    pthread_mutex_unlock(&vm->lock);
fail:
    soft_vcpu_destroy(v);
    return err;
}
