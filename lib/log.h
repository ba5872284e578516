/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages to the user: levelled log lines and trace lines with a run-time mask, one per subsystem.
 */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/bits.h"

enum log_subsys {
    LOG_CLI,
    LOG_VM,
    LOG_LOADER,
    LOG_ENGINE,
    LOG_CPU,
    LOG_MMU,
    LOG_INTR,
    LOG_IRQCHIP,
    LOG_PIO,
    LOG_MMIO,
    LOG_PCI,
    LOG_VIRTIO,
    LOG_BLOCK,
    LOG_NET,
    LOG_SERIAL,
    LOG_DEVICE,
    LOG_GDB,
    LOG_SUBSYS_COUNT
};

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO };

extern const char *const log_subsys_name[LOG_SUBSYS_COUNT]; /* lower case: "cli", "vm", ... */

/* Bit mask of traced subsystems, set once at start-up by --trace; read on every trace(). */
extern uint32_t log_trace_mask;

/* Writes "trapeze: text\n" (warn/info carry their level) to stderr in one write; safe from any
 * thread. */
void log_write(enum log_level level, enum log_subsys subsys, const char *fmt, ...) PRINTF(3, 4);
void log_trace_write(enum log_subsys subsys, const char *fmt, ...) PRINTF(2, 3);

/* Parses "pio,mmio" or "all" into *mask; -EINVAL and *bad at the unknown name otherwise. */
WARN_UNUSED int log_trace_parse(const char *list, uint32_t *mask, const char **bad);

#define log_err(subsys, ...)  log_write(LOG_ERR, subsys, __VA_ARGS__)
#define log_warn(subsys, ...) log_write(LOG_WARN, subsys, __VA_ARGS__)
#define log_info(subsys, ...) log_write(LOG_INFO, subsys, __VA_ARGS__)
#define trace(subsys, ...)                                                                         \
    do {                                                                                           \
        if (unlikely(log_trace_mask & BIT(subsys)))                                                \
            log_trace_write(subsys, __VA_ARGS__);                                                  \
    } while (0)

/* What a guest can repeat is said at most `max` times: if (log_limit(&s->warned, 1)) log_warn(...).
 */
static inline bool log_limit(unsigned *count, unsigned max)
{
    return *count < max && (++*count, true);
}

#endif
