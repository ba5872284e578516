/* SPDX-License-Identifier: BSD-2-Clause */
/* The trapeze command: its subcommands, exit codes and option parsing. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "monitor/config.h"

/*
 * Exit statuses. The monitor's own are even, so that a guest's --debug-exit, (v << 1) | 1, is
 * always told apart. docs/exit-codes.md and the man page list them.
 */
enum cli_status {
    CLI_OK = 0,           /* guest powered off */
    CLI_USAGE = 2,        /* bad option or argument */
    CLI_SETUP = 4,        /* the VM could not be made: file, memory, engine, port */
    CLI_TRIPLE_FAULT = 6, /* guest triple fault */
    CLI_INTERNAL = 8,     /* engine or monitor could not go on */
    CLI_RESET = 10,       /* guest reset, with --no-reboot */
    CLI_QUIT = 12,        /* Ctrl-a x, or SIGTERM, SIGINT, SIGHUP */
};

int cli_run(int argc, char **argv);
int cli_doctor(int argc, char **argv);

/* Fills a description from the options of `trapeze run`; 0 or CLI_USAGE after a one-line message.
 * -1: help was printed, end with CLI_OK. */
WARN_UNUSED int cli_parse_run(int argc, char **argv, struct config *);
void cli_help_run(void);

/* "512M", "2G", "0x1000": bytes. -EINVAL for anything else, zero or overflow. */
WARN_UNUSED int cli_parse_size(const char *text, uint64_t *out);

/* One line to stderr: "trapeze: text" and the hint where to find help; returns CLI_USAGE. */
int cli_usage(const char *fmt, ...) PRINTF(1, 2);

#endif
