/* SPDX-License-Identifier: BSD-2-Clause */
/* The description of one VM, whatever it was read from. Strings belong to who made the description
 * and outlive the VM. */
#ifndef MONITOR_CONFIG_H
#define MONITOR_CONFIG_H

#include "lib/bits.h"

enum {
    CONFIG_MAX_DISKS = 16,
    CONFIG_MAX_NETS = 4,
    CONFIG_MAX_FWDS = 16,
    CONFIG_MAX_CPUS = 64,
    CONFIG_MAX_MODULES = 16
};

struct config_disk {
    const char *path;
    bool readonly;
    bool direct; /* O_DIRECT */
};

struct config_forward {
    uint8_t udp;
    uint32_t host_addr; /* IPv4, host order; 0: 127.0.0.1 */
    uint16_t host_port, guest_port;
};

struct config_net {
    bool user; /* user-mode network; else none */
    struct config_forward forward[CONFIG_MAX_FWDS];
    unsigned forwards;
    uint8_t mac[6]; /* all zero: chosen */
};

enum config_console { CONSOLE_STDIO, CONSOLE_NONE, CONSOLE_FILE, CONSOLE_UNIX };

struct config {
    const char *engine;    /* "auto", "kvm", "soft" */
    const char *soft_mode; /* "interp", "translate", "lockstep" or NULL */
    bool soft_no_window;   /* the translator shall leave the host's MMU alone, */
    bool soft_window;      /* or use it for all user code */
    bool soft_no_bmi2;     /* the translator shall do without BMI2 */
    uint64_t soft_cache;   /* bytes of translated code a vCPU keeps; 0: default */
    const char *perf_map;  /* not NULL: name guest code for perf; a file of symbols, or "" */
    const char *kernel, *initrd,
        *append; /* append may be NULL: "console=ttyS0" is NOT added silently */
    const char *module[CONFIG_MAX_MODULES]; /* multiboot modules: "path args" */
    unsigned modules;
    uint64_t memory; /* bytes */
    unsigned cpus;
    struct config_disk disk[CONFIG_MAX_DISKS];
    unsigned disks;
    struct config_net net[CONFIG_MAX_NETS];
    unsigned nets;
    enum config_console console;
    const char *console_path;
    bool debug_exit, no_reboot, stats;
    const char *gdb; /* "[HOST]:PORT" or NULL */
};

#endif
