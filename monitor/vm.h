/* SPDX-License-Identifier: BSD-2-Clause */
/* One virtual machine: engine, memory, buses, vCPU threads, and how it ends. */
#ifndef MONITOR_VM_H
#define MONITOR_VM_H

#include <pthread.h>
#include <stdio.h>

#include "engine/engine.h"
#include "monitor/bus.h"
#include "monitor/config.h"
#include "monitor/memmap.h"

struct machine;
struct loop;
struct gdb;
struct chardev;
struct power_on;

/* How a run of the VM ended; the exit codes of the command follow from it (docs/exit-codes.md). */
enum vm_outcome {
    VM_RUNNING,
    VM_POWEROFF,
    VM_RESET /* asked for by the guest; the monitor restarts unless no_reboot */,
    VM_TRIPLE_FAULT,
    VM_INTERNAL_ERROR /* engine cannot go on; state was printed */,
    VM_DEBUG_EXIT /* exit port: vm->exit_value is (v << 1) | 1 of the value v written */,
    VM_QUIT /* the user */,
};

struct vm_slot {
    uint64_t gpa, len;
    uint8_t *host;
    bool readonly;
};

struct vcpu {
    struct vm *vm;
    struct engine_vcpu *vcpu;
    unsigned id;
    pthread_t thread;
    bool started;         /* (c) its thread exists */
    bool paused;          /* (c) out of run, and stays so until vm_resume */
    bool gone;            /* (c) its thread has left the loop for good */
    bool stuck;           /* (c) the engine did not return it in time; never touch it again */
    bool unfinished;      /* (v) the last exit's I/O completes with the next run */
    bool in_run;          /* (a) inside ops->run, as the watchdog asks */
    bool self_paused;     /* (v) vm_pause was called on this vCPU's thread */
    uint64_t exits[64];   /* (v) by KVM exit reason, the last one for all beyond */
    uint64_t interrupted; /* (v) runs ended by a kick or signal */
};

/* Stops and restarts the vCPU threads. Fields marked (c) in this file are under its lock. */
struct vm_control {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned pauses;   /* (c) how many want the vCPUs out of run */
    bool leave;        /* (c) the threads shall end */
    unsigned stuck_ms; /* (i) an engine that has not obeyed a kick by then never will */
    int request;       /* (a) pauses, leave or outcome ask for something: look before run */
};

struct vm {
    const struct config *config;
    struct engine *engine;
    struct engine_vm *evm;
    const struct engine_ops *ops;
    struct memmap map;
    struct vm_slot slot[8];
    unsigned slots;
    struct guest_memory mem; /* the one accessor */
    pthread_mutex_t lock;    /* the device lock: buses, devices, host callbacks; error-checking */
    struct bus pio, mmio;
    struct loop *loop; /* host events; its thread takes the device lock around callbacks */
    struct machine *machine;
    struct gdb *gdb;
    struct vcpu *vcpu;
    unsigned vcpus;
    int outcome; /* (a) enum vm_outcome, set once per run */
    int exit_value;
    struct vm_control control;
    struct power_on *power_on; /* engine state before the first instruction, for reset */
    int memfd;                 /* guest RAM, shared; -1 before it exists */
    uint8_t *ram;              /* where all of it is mapped; use mem */
    uint64_t rsdp;             /* gpa of the ACPI RSDP, for loaders; 0: none */
    uint32_t tsc_khz;          /* 0: the engine does not say */
    struct chardev *console;   /* COM1's other side; owned by the machine */
    /* Ctrl-a c, called on the loop's thread with the device lock held; set before vm_run. */
    void (*prompt)(struct vm *, void *arg);
    void *prompt_arg;
    /* monitor/debug.h; set before vm_run */
    bool (*on_debug)(struct vcpu *);
    char error[512]; /* one line for the user, when a vm_* call failed or VM_INTERNAL_ERROR */
};

/* Builds everything the description names and loads the kernel. 0, or -errno with vm->error saying
 * what to do; *out is set in both cases if memory allows (so that error can be read) and must be
 * destroyed. */
WARN_UNUSED int vm_create(struct vm **out, const struct config *);
void vm_destroy(struct vm *);
/* Runs until the VM ends (restarting it on reset unless no_reboot); returns the outcome. */
enum vm_outcome vm_run(struct vm *);

/* From any thread: ends or resets the VM; the first call wins. */
void vm_end(struct vm *, enum vm_outcome, int value);
/* Stops all vCPUs out of run / lets them go again; nestable; for gdb, monitor prompt, snapshot.
 * From any thread, a vCPU's own too. If the caller holds the device lock, vm_pause gives it up
 * while it waits (a vCPU may need it to finish its access) and has it again on return. A vCPU that
 * the engine does not give back within 5 s is marked stuck and the VM ends with VM_INTERNAL_ERROR.
 */
void vm_pause(struct vm *);
void vm_resume(struct vm *);
/* Calls fn with the vCPU out of run (engine calls need that), between a pause and a resume. Not
 * called for a stuck vCPU. */
void vm_on_vcpu(struct vm *, unsigned id, void (*fn)(struct vcpu *, void *), void *arg);

/* Writes a one-screen dump of a vCPU's registers. The vCPU must be out of run. */
void vm_dump_vcpu(struct vm *, unsigned id, FILE *);
void vm_stats(struct vm *, FILE *);

/* ---- for machine/ ---- */
/* Makes guest RAM (config->memory bytes: below low_end, less the hole [hole, hole+hole_len), and
 * from 4 GiB on) and its slots. -errno with vm->error. */
WARN_UNUSED int vm_memory_create(struct vm *, uint64_t low_end, uint64_t hole, uint64_t hole_len);
void vm_memory_destroy(struct vm *);
/* Bytes of guest RAM that lie below low_end / from 4 GiB on. */
uint64_t vm_memory_low(const struct vm *, uint64_t low_end);
uint64_t vm_memory_high(const struct vm *, uint64_t low_end);
/* Sets vm->error; returns err, so that a function can end with it. */
int vm_fail(struct vm *, int err, const char *fmt, ...) PRINTF(3, 4);

/* ---- machine/: a board is wiring only ---- */
/* pc.c: makes the memory map and slots, devices, tables; -errno with vm->error. */
WARN_UNUSED int machine_pc_create(struct vm *);
void machine_reset(struct vm *);
void machine_destroy(struct vm *);
/* ACPI power button (device lock held); NMI button. */
void machine_powerdown(struct vm *);
void machine_nmi(struct vm *);

/* ---- loader/: puts the kernel into memory and says how the first vCPU starts ---- */
enum boot_mode {
    BOOT_LONG64 /* 64-bit, identity-mapped pages */,
    BOOT_FLAT32 /* PE=1, flat segments, no paging */
};
enum { BOOT_GDT_SIZE = 32 };
struct boot_state {
    enum boot_mode mode;
    uint64_t rip, rsp, rax, rbx, rsi, rdi, rbp;
    uint64_t cr3; /* LONG64: page tables the loader made */
    uint64_t gdt; /* BOOT_GDT_SIZE bytes of low memory for boot_setup */
};
/* Recognises the format of config->kernel and loads it, initrd, modules and command line. -errno
 * with vm->error: one line naming option or file and cause. Called again after each reset. */
WARN_UNUSED int loader_load(struct vm *, struct boot_state *);
/* Sets vCPU 0 up accordingly (and the others to wait for SIPI). */
WARN_UNUSED int boot_setup(struct vm *, const struct boot_state *);

#endif
