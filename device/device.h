/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device model is: state behind access(offset, size, value), irq wires, host handles. A
 * device knows no address, VM, vCPU, engine, file descriptor or clock; who builds the machine wires
 * it. All calls into a device are made with the VM's device lock held.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "lib/bits.h"

struct device;
struct state;

enum device_result {
    DEVICE_OK,
    DEVICE_UNMAPPED /* no such register: reads all ones, writes ignored, counted */
};

struct device_ops {
    const char *name;
    /* Access of size 1, 2, 4 or 8 bytes at offset from the start of the device's region `region`
     * (devices with one region ignore it). Write: *val holds the value. Read: *val is preset to all
     * ones. */
    enum device_result (*access)(struct device *, unsigned region, uint64_t offset, unsigned size,
                                 uint64_t *val, bool write);
    void (*reset)(struct device *); /* power-on values */
    int (*state)(struct device *,
                 struct state *); /* saves or loads all guest-visible fields; may be NULL for now */
    void (*destroy)(struct device *); /* frees; NULL if embedded elsewhere */
    unsigned max_size; /* widest access the device takes, wider ones come in pieces of this size
                          (as the ISA bus does for 8-bit cards); 0: any */
};

struct device {
    const struct device_ops *ops;
};

/* A wire from a device to an interrupt controller input; level-triggered semantics: 1 asserted, 0
 * not. */
struct irq_wire {
    void (*set)(void *ctx, unsigned line, int level);
    void *ctx;
    unsigned line;
    int level; /* last level driven, so that only changes go out */
};

static inline void irq_set(struct irq_wire *w, int level)
{
    if (w->set && w->level != level) {
        w->level = level;
        w->set(w->ctx, w->line, level);
    }
}

/* Time for devices: a handle, so that tests can turn the clock by hand. */
struct device_clock {
    uint64_t (*now_ns)(void *ctx);      /* monotonic guest time */
    int64_t (*wall_seconds)(void *ctx); /* seconds since the epoch, UTC */
    void *ctx;
};

/* One-shot timer handle. The host calls fire(arg) with the device lock held at or after the
 * deadline. */
struct device_timer {
    void (*set)(struct device_timer *, uint64_t deadline_ns); /* UINT64_MAX: off */
    void (*fire)(void *arg);
    void *arg;
    void *host; /* the host's */
};

/* Guest memory for DMA: nothing unless the whole range lies in one slot. */
struct guest_memory {
    void *(*map)(void *ctx, uint64_t gpa, uint64_t len,
                 bool write); /* NULL if not RAM; stays valid for the VM's life */
    void (*written)(void *ctx, uint64_t gpa, uint64_t len); /* after the bytes are in place */
    void *ctx;
};

/* Copies out of / into guest memory; -EFAULT (nothing copied) unless the whole range is RAM.
 * (dma.c) */
WARN_UNUSED int guest_read(const struct guest_memory *, uint64_t gpa, void *buf, uint64_t len);
WARN_UNUSED int guest_write(const struct guest_memory *, uint64_t gpa, const void *buf,
                            uint64_t len);

/* A byte stream to the outside (terminal, file, socket) as devices see it. */
struct char_backend {
    /* Guest → host. Takes all or part; returns the number of bytes taken (0: try again later). */
    size_t (*write)(void *ctx, const void *buf, size_t len);
    /* The device can take input again (its buffer has room). */
    void (*resume)(void *ctx);
    void *ctx;
};
/* Host → guest, implemented by the device; registered with the host side by the machine. */
struct char_sink {
    size_t (*room)(void *dev);
    void (*input)(void *dev, const uint8_t *buf, size_t len); /* len <= room */
    void *dev;
};

#endif
