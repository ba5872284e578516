/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages to the user on stderr: one line, one write. */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *const log_subsys_name[LOG_SUBSYS_COUNT] = {
    [LOG_CLI] = "cli",     [LOG_VM] = "vm",     [LOG_LOADER] = "loader", [LOG_ENGINE] = "engine",
    [LOG_CPU] = "cpu",     [LOG_MMU] = "mmu",   [LOG_INTR] = "intr",     [LOG_IRQCHIP] = "irqchip",
    [LOG_PIO] = "pio",     [LOG_MMIO] = "mmio", [LOG_PCI] = "pci",       [LOG_VIRTIO] = "virtio",
    [LOG_BLOCK] = "block", [LOG_NET] = "net",   [LOG_SERIAL] = "serial", [LOG_DEVICE] = "device",
    [LOG_GDB] = "gdb",
};

uint32_t log_trace_mask;

static void write_line(const char *prefix, const char *fmt, va_list args)
{
    char line[1024];
    int n = snprintf(line, sizeof(line), "%s", prefix);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, args);
    if (m < 0)
        return;
    size_t len = MIN((size_t)(n + m), sizeof(line) - 2);
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0)
        return; /* nowhere left to complain to */
}

void log_write(enum log_level level, enum log_subsys subsys, const char *fmt, ...)
{
    static const char *const prefix[] = {
        [LOG_ERR] = "trapeze: ", [LOG_WARN] = "trapeze: warning: ", [LOG_INFO] = "trapeze: "
    };
    va_list args;
    (void)subsys;
    va_start(args, fmt);
    write_line(prefix[level], fmt, args);
    va_end(args);
}

void log_trace_write(enum log_subsys subsys, const char *fmt, ...)
{
    char prefix[32];
    va_list args;
    snprintf(prefix, sizeof(prefix), "[%s] ", log_subsys_name[subsys]);
    va_start(args, fmt);
    write_line(prefix, fmt, args);
    va_end(args);
}

int log_trace_parse(const char *list, uint32_t *mask, const char **bad)
{
    uint32_t m = 0;
    for (const char *p = list; *p;) {
        size_t n = strcspn(p, ",");
        unsigned i = 0;
        if (n == 3 && !strncmp(p, "all", 3)) {
            m = ~0u;
        } else {
            while (i < LOG_SUBSYS_COUNT &&
                   (strlen(log_subsys_name[i]) != n || strncmp(p, log_subsys_name[i], n)))
                i++;
            if (i == LOG_SUBSYS_COUNT) {
                *bad = p;
                return -EINVAL;
            }
            m |= (uint32_t)BIT(i);
        }
        p += n + (p[n] == ',');
    }
    *mask = m;
    return 0;
}
