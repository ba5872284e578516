/* SPDX-License-Identifier: BSD-2-Clause */
/* What the gdb stub does to the guest: registers, memory, breakpoints. All with the vCPUs paused.
 */
#ifndef MONITOR_GDB_TARGET_H
#define MONITOR_GDB_TARGET_H

#include "monitor/vm.h"

enum { GDB_MAX_SW = 64, GDB_MAX_HW = 4 };
enum gdb_point {
    GDB_POINT_SW,
    GDB_POINT_HW,
    GDB_POINT_WRITE,
    GDB_POINT_READ,
    GDB_POINT_ACCESS
}; /* Z0 … Z4 */

struct gdb_target {
    struct vm *vm;
    bool wide; /* x86-64 register file, else i386 */
    struct {
        bool used;
        uint64_t addr;
        uint8_t old;
    } sw[GDB_MAX_SW];
    struct {
        bool used;
        enum gdb_point type;
        uint64_t addr;
        unsigned len;
        bool as_sw;
    } hw[GDB_MAX_HW];
};

/* Chooses the register file from the kernel's file (ELF class) or the first vCPU's mode. */
void gdb_target_init(struct gdb_target *, struct vm *);
/* The target description (XML), built into buf; its length. */
size_t gdb_target_xml(const struct gdb_target *, char *buf, size_t size);

/* Register n by gdb's number as raw little-endian bytes; *len its size. -ENOENT: no such register.
 */
WARN_UNUSED int gdb_target_get(struct gdb_target *, unsigned vcpu, unsigned n, uint8_t *buf,
                               unsigned *len);
WARN_UNUSED int gdb_target_set(struct gdb_target *, unsigned vcpu, unsigned n, const uint8_t *buf,
                               unsigned len);
unsigned gdb_target_regs(const struct gdb_target *); /* how many there are */

/* By guest-virtual address through the vCPU's page tables; number of bytes done, up to the first
 * unmapped one. */
size_t gdb_target_memory(struct gdb_target *, unsigned vcpu, uint64_t addr, uint8_t *buf,
                         size_t len, bool write);

/* A software breakpoint at an address that is not mapped yet takes a debug register instead. */
WARN_UNUSED int gdb_target_insert(struct gdb_target *, unsigned vcpu, enum gdb_point, uint64_t addr,
                                  unsigned len);
WARN_UNUSED int gdb_target_remove(struct gdb_target *, unsigned vcpu, enum gdb_point, uint64_t addr,
                                  unsigned len);
void gdb_target_remove_all(struct gdb_target *);
/* Tells the engine what to stop for; step: that vCPU executes one instruction. */
void gdb_target_arm(struct gdb_target *, bool step, unsigned vcpu);
void gdb_target_disarm(struct gdb_target *);
/* The watchpoint a DR6 value means, or NULL. */
const char *gdb_target_watch(const struct gdb_target *, uint64_t dr6, uint64_t *addr);

#endif
